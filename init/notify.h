/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sd_notify socket: one for all services, the sender is known by its credentials. */
#pragma once

#include "lib/err.h"

int notify_open(const char *path, struct err *e);
