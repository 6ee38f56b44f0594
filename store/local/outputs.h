/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a dead builder left: checked, made canonical, scanned, compared, moved in, registered. */
#pragma once

#include "store/build/build.h"

/* -ERR_BUILD, -ERR_HASH, -ERR_DIFFERS: the derivation is at fault; anything else: this machine. */
int outputs_take(struct build *b, struct err *e);
