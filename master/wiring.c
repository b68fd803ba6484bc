/* SPDX-License-Identifier: ISC */
/*
 * The wiring table: a program that does not stand beside another here cannot be reached from it.
 * Every worker of the one gets a channel to every worker of the other; everybody has one to logger.
 */
#include "master/wiring.h"

#include <stddef.h>

#include "lib/base/attr.h"

static const struct {
	enum program a, b;
} wires[] = {
    {PROGRAM_SMTPD,   PROGRAM_ROUTER  },
    {PROGRAM_SMTPD,   PROGRAM_RESOLVER},
    {PROGRAM_SMTPD,   PROGRAM_CLEANUP },
    {PROGRAM_PICKUP,  PROGRAM_CLEANUP },
    {PROGRAM_PICKUP,  PROGRAM_SMTPD   },
    {PROGRAM_CLEANUP, PROGRAM_ROUTER  },
    {PROGRAM_CLEANUP, PROGRAM_QMGR    },
    {PROGRAM_ROUTER,  PROGRAM_TABLES  },
    {PROGRAM_QMGR,    PROGRAM_ROUTER  },
    {PROGRAM_QMGR,    PROGRAM_REMOTE  },
    {PROGRAM_QMGR,    PROGRAM_LOCAL   },
    {PROGRAM_QMGR,    PROGRAM_BOUNCE  },
    {PROGRAM_REMOTE,  PROGRAM_RESOLVER},
    {PROGRAM_LOCAL,   PROGRAM_ROUTER  },
    {PROGRAM_LOCAL,   PROGRAM_CLEANUP },
    {PROGRAM_LOCAL,   PROGRAM_SPAWN   },
    {PROGRAM_BOUNCE,  PROGRAM_CLEANUP },
    {PROGRAM_SMTPD,   PROGRAM_KEEPER  },
    {PROGRAM_SMTPD,   PROGRAM_LIMITER },
    {PROGRAM_SMTPD,   PROGRAM_QMGR    },
    {PROGRAM_REMOTE,  PROGRAM_KEEPER  },
    {PROGRAM_QMGR,    PROGRAM_LIMITER },
    {PROGRAM_LIMITER, PROGRAM_BOUNCE  },
    {PROGRAM_KEEPER,  PROGRAM_SPAWN   },
};

static const struct program_row programs[PROGRAM_COUNT] = {
    [PROGRAM_SMTPD] = {1, 2, false, false},
    [PROGRAM_PICKUP] = {1, 1, false, false},
    [PROGRAM_QMGR] = {1, 1, true,  true },
    [PROGRAM_REMOTE] = {2, 2, false, false},
    [PROGRAM_LOCAL] = {2, 1, false, false},
    [PROGRAM_BOUNCE] = {2, 1, false, false},
    [PROGRAM_CLEANUP] = {3, 1, false, false},
    [PROGRAM_ROUTER] = {3, 2, false, false},
    [PROGRAM_TABLES] = {3, 1, false, false},
    [PROGRAM_RESOLVER] = {3, 1, false, false},
    [PROGRAM_SPAWN] = {3, 1, false, false},
    [PROGRAM_KEEPER] = {3, 1, true,  true },
    [PROGRAM_LIMITER] = {3, 1, true,  true },
    [PROGRAM_LOGGER] = {4, 1, true,  true },
};

bool
wiring_joins(enum program a, enum program b)
{
	if (a == PROGRAM_LOGGER || b == PROGRAM_LOGGER)
		return a != b;
	for (size_t i = 0; i < NELEM(wires); i++)
		if ((wires[i].a == a && wires[i].b == b) || (wires[i].a == b && wires[i].b == a))
			return true;
	return false;
}

const struct program_row *
wiring_program(enum program p)
{
	return &programs[p];
}
