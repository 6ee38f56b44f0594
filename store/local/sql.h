/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What db.c says to SQLite: the tables of both families, and every statement. */
#pragma once

#include "store/format/dialect.h"

struct sql_schema {
	const char *sql;
	const char *last; /* what sql makes last: where it is, all is */
};
extern const struct sql_schema sql_schemas[]; /* by dialect */

enum statement {
	Q_BEGIN,
	Q_BEGIN_READ,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_IS_VALID,
	Q_INFO,
	Q_INFO_NIX,
	Q_REFS_OF_ID,
	Q_REFS,
	Q_REFERRERS,
	Q_DERIVERS,
	Q_OUTPUTS,
	Q_BY_PREFIX,
	Q_CLOSURE,
	Q_CLOSURE_SIZES,
	Q_ALL,
	Q_EACH_PATH,
	Q_EACH_REF,
	Q_EACH_OUTPUT,
	Q_INSERT,
	Q_INSERT_NIX,
	Q_SIGN,
	Q_UPDATE,
	Q_ADD_REF,
	Q_ADD_OUTPUT,
	Q_DELETE,
	Q_FAIL,
	Q_HAS_FAILED,
	Q_FAILED,
	Q_FORGIVE,
	Q_FORGIVE_ALL,
	Q_JSON,
	Q_MAX
};
extern const char *const sql_statements[Q_MAX];
