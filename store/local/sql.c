/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/sql.h"

/* What both families have: Guix's schema 7, Nix's schema 10. Their own tools read and write these
 * files, too. */
#define REFS                                                                                       \
	"create table if not exists Refs ("                                                        \
	" referrer integer not null,"                                                              \
	" reference integer not null,"                                                             \
	" primary key (referrer, reference),"                                                      \
	" foreign key (referrer) references ValidPaths(id) on delete cascade,"                     \
	" foreign key (reference) references ValidPaths(id) on delete restrict);"                  \
	"create index if not exists IndexReferrer on Refs(referrer);"                              \
	"create index if not exists IndexReference on Refs(reference);"                            \
	"create trigger if not exists DeleteSelfRefs before delete on ValidPaths"                  \
	" begin delete from Refs where referrer = old.id and reference = old.id; end;"
#define OUTPUTS                                                                                    \
	"create table if not exists DerivationOutputs ("                                           \
	" drv integer not null,"                                                                   \
	" id text not null,"                                                                       \
	" path text not null,"                                                                     \
	" primary key (drv, id),"                                                                  \
	" foreign key (drv) references ValidPaths(id) on delete cascade);"                         \
	"create index if not exists IndexDerivationOutputs on DerivationOutputs(path);"
#define PATHS                                                                                      \
	"create table if not exists ValidPaths ("                                                  \
	" id integer primary key autoincrement not null,"                                          \
	" path text unique not null,"                                                              \
	" hash text not null,"                                                                     \
	" registrationTime integer not null,"                                                      \
	" deriver text,"                                                                           \
	" narSize integer"

const struct sql_schema sql_schemas[] = {
	[DIALECT_GUIX] = { PATHS ");" REFS OUTPUTS "create table if not exists FailedPaths ("
				 " path text primary key not null,"
				 " time integer not null);",
			   "FailedPaths" },
	[DIALECT_NIX] = { PATHS ", ultimate integer, sigs text, ca text);" REFS OUTPUTS,
			  "IndexDerivationOutputs" },
};

#define ID_OF "(select id from ValidPaths where path = ?)"

const char *const sql_statements[Q_MAX] = {
	[Q_BEGIN] = "begin immediate",
	[Q_BEGIN_READ] = "begin",
	[Q_COMMIT] = "commit",
	[Q_ROLLBACK] = "rollback",
	[Q_IS_VALID] = "select 1 from ValidPaths where path = ?",
	[Q_INFO] = "select id, hash, registrationTime, deriver, narSize"
		   " from ValidPaths where path = ?",
	[Q_INFO_NIX] = "select id, hash, registrationTime, deriver, narSize, ultimate, sigs, ca"
		       " from ValidPaths where path = ?",
	[Q_REFS_OF_ID] = "select path from Refs join ValidPaths on reference = id"
			 " where referrer = ?",
	[Q_REFS] = "select path from Refs join ValidPaths on reference = id"
		   " where referrer = " ID_OF " order by path",
	[Q_REFERRERS] = "select path from Refs join ValidPaths on referrer = id"
			" where reference = " ID_OF " order by path",
	[Q_DERIVERS] = "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id"
		       " where d.path = ? order by v.path",
	[Q_OUTPUTS] = "select id, path from DerivationOutputs where drv = " ID_OF " order by id",
	[Q_BY_PREFIX] = "select path from ValidPaths where path >= ? order by path limit 1",
	/* An item that is referred to and has no row any more gives a null. */
	[Q_CLOSURE_SIZES] =
		"with recursive c(id) as (select id from ValidPaths where path = ? union"
		" select reference from Refs join c on referrer = c.id)"
		" select path, narSize from c left join ValidPaths on c.id = ValidPaths.id",
	[Q_CLOSURE] = "with recursive c(id) as (select id from ValidPaths where path = ? union"
		      " select reference from Refs join c on referrer = c.id)"
		      " select path from c join ValidPaths on c.id = ValidPaths.id",
	[Q_ALL] = "select path from ValidPaths order by path",
	[Q_EACH_PATH] = "select id, 0, path, deriver, narSize from ValidPaths order by id",
	[Q_EACH_REF] = "select referrer, reference from Refs order by referrer",
	[Q_EACH_OUTPUT] = "select drv, 0, path from DerivationOutputs order by drv",
	[Q_INSERT] = "insert into ValidPaths (path, hash, registrationTime, deriver, narSize)"
		     " values (?, ?, ?, ?, ?)",
	[Q_INSERT_NIX] = "insert into ValidPaths (path, hash, registrationTime, deriver, narSize,"
			 " ultimate, sigs, ca) values (?, ?, ?, ?, ?, ?, ?, ?)",
	[Q_SIGN] = "update ValidPaths set sigs = ? where path = ?",
	[Q_UPDATE] = "update ValidPaths set narSize = ?, hash = ? where path = ?",
	[Q_ADD_REF] =
		"insert or replace into Refs (referrer, reference) values (" ID_OF ", " ID_OF ")",
	[Q_ADD_OUTPUT] =
		"insert or replace into DerivationOutputs (drv, id, path) values (" ID_OF ", ?, ?)",
	[Q_DELETE] = "delete from ValidPaths where path = ?",
	[Q_FAIL] = "insert or ignore into FailedPaths (path, time)"
		   " values (?, cast(strftime('%s') as integer))",
	[Q_HAS_FAILED] = "select 1 from FailedPaths where path = ?",
	[Q_FAILED] = "select path from FailedPaths order by path",
	[Q_FORGIVE] = "delete from FailedPaths where path = ?",
	[Q_FORGIVE_ALL] = "delete from FailedPaths",
	[Q_JSON] = "select key, type, value from json_each(?) order by key",
};
