/* SPDX-License-Identifier: ISC */
/* Who may speak to whom, and in which order the suite stops. */
#ifndef KP_MASTER_WIRING_H
#define KP_MASTER_WIRING_H

#include <stdbool.h>

#include "lib/service/program.h"

/* Whether workers of these two programs get a channel, in either order. */
bool wiring_joins(enum program a, enum program b);

struct program_row {
	unsigned stop_phase; /* stopped in the order 1, 2, ...: those who take mail in first, those
				they need last */
	unsigned workers;    /* by default */
	bool takes_reload; /* takes new values in place; others are replaced by a new generation */
	bool single;       /* never more than one process, not even while one is replaced */
};
enum { STOP_PHASES = 4 };

const struct program_row *wiring_program(enum program p);

#endif
