/* SPDX-License-Identifier: ISC */
/* Names of programs. */
#include "lib/service/program.h"

#include "lib/base/panic.h"

static const char *const names[PROGRAM_COUNT] = {
    [PROGRAM_NONE] = "none",
    [PROGRAM_MASTER] = "master",
    [PROGRAM_LOGGER] = "logger",
    [PROGRAM_SMTPD] = "smtpd",
    [PROGRAM_PICKUP] = "pickup",
    [PROGRAM_CLEANUP] = "cleanup",
    [PROGRAM_ROUTER] = "router",
    [PROGRAM_TABLES] = "tables",
    [PROGRAM_RESOLVER] = "resolver",
    [PROGRAM_LIMITER] = "limiter",
    [PROGRAM_KEEPER] = "keeper",
    [PROGRAM_QMGR] = "qmgr",
    [PROGRAM_REMOTE] = "remote",
    [PROGRAM_LOCAL] = "local",
    [PROGRAM_SPAWN] = "spawn",
    [PROGRAM_BOUNCE] = "bounce",
};

const char *
program_name(enum program p)
{
	if ((unsigned)p >= PROGRAM_COUNT)
		panic("program_name: %d", (int)p);
	return names[p];
}

enum program
program_find(struct str name)
{
	for (int p = PROGRAM_NONE + 1; p < PROGRAM_COUNT; p++)
		if (str_is(name, names[p]))
			return (enum program)p;
	return PROGRAM_NONE;
}
