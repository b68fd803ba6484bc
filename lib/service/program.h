/* SPDX-License-Identifier: ISC */
/* The programs of the suite, as they name each other. */
#ifndef KP_SERVICE_PROGRAM_H
#define KP_SERVICE_PROGRAM_H

#include "lib/base/str.h"

enum program {
	PROGRAM_NONE,
	PROGRAM_MASTER,
	PROGRAM_LOGGER,
	PROGRAM_SMTPD,
	PROGRAM_PICKUP,
	PROGRAM_CLEANUP,
	PROGRAM_ROUTER,
	PROGRAM_TABLES,
	PROGRAM_RESOLVER,
	PROGRAM_LIMITER,
	PROGRAM_KEEPER,
	PROGRAM_QMGR,
	PROGRAM_REMOTE,
	PROGRAM_LOCAL,
	PROGRAM_SPAWN,
	PROGRAM_BOUNCE,
	PROGRAM_COUNT,
};

/* "smtpd"; never NULL for a valid number. */
const char *program_name(enum program p);

/* PROGRAM_NONE where there is none of that name. */
enum program program_find(struct str name);

#endif
