# SPDX-License-Identifier: GPL-3.0-or-later
# glibconfig.h.in to glibconfig.h: musl, 64 bits, little-endian.
s/#mesondefine GLIB_HAVE_ALLOCA_H/#define GLIB_HAVE_ALLOCA_H 1/
s/#mesondefine GLIB_USING_SYSTEM_PRINTF/#define GLIB_USING_SYSTEM_PRINTF 1/
s/#mesondefine G_HAVE_GNUC_VISIBILITY/#define G_HAVE_GNUC_VISIBILITY 1/
s/#mesondefine G_ATOMIC_LOCK_FREE/#define G_ATOMIC_LOCK_FREE 1/
s/#mesondefine GLIB_STATIC_COMPILATION/#define GLIB_STATIC_COMPILATION 1/
/#mesondefine/d
s/@gint16@/short/; s/@gint32@/int/; s/@gint64@/long/; s/@glib_extension@//
s/@gint16_modifier@/"h"/; s/@gint32_modifier@/""/; s/@gint64_modifier@/"l"/
s/@gint16_format@/"hi"/; s/@guint16_format@/"hu"/; s/@gint32_format@/"i"/; s/@guint32_format@/"u"/
s/@gint64_format@/"li"/; s/@guint64_format@/"lu"/
s/@gint64_constant@/(val##L)/; s/@guint64_constant@/(val##UL)/
s/@glib_void_p@/8/; s/@glib_long@/8/; s/@glib_size_t@/8/; s/@glib_ssize_t@/8/
s/@glib_size_type_define@/long/; s/@glib_intptr_type_define@/long/; s/@glib_msize_type@/LONG/
s/@gsize_modifier@/"l"/; s/@gssize_modifier@/"l"/; s/@gsize_format@/"lu"/; s/@gssize_format@/"li"/
s/@gintptr_modifier@/"l"/; s/@gintptr_format@/"li"/; s/@guintptr_format@/"lu"/
s/@g_pollfd_format@/"%d"/; s/@glib_gpi_cast@/(glong)/g; s/@glib_gpui_cast@/(gulong)/g
s/@GLIB_MAJOR_VERSION@/2/; s/@GLIB_MINOR_VERSION@/74/; s/@GLIB_MICRO_VERSION@/6/
s/@glib_os@/#define G_OS_UNIX/; s/@glib_vacopy@/#define G_VA_COPY va_copy\n#define G_VA_COPY_AS_ARRAY 1/
s/@g_threads_impl_def@/POSIX/; s/@g_bs_native@/LE/; s/@g_bs_alien@/BE/
s/@glongbits@/64/g; s/@gintbits@/32/g; s/@gsizebits@/64/g; s/@g_byte_order@/G_LITTLE_ENDIAN/
s/@g_pollin@/1/; s/@g_pollout@/4/; s/@g_pollpri@/2/; s/@g_pollhup@/16/; s/@g_pollerr@/8/; s/@g_pollnval@/32/
s/@g_module_suffix@/so/; s/@g_pid_type@/int/; s/@g_pid_format@/"i"/
s/@g_af_unix@/1/; s/@g_af_inet@/2/; s/@g_af_inet6@/10/; s/@g_msg_oob@/1/; s/@g_msg_peek@/2/; s/@g_msg_dontroute@/4/
s/@g_dir_separator@/\//; s/@g_searchpath_separator@/:/
