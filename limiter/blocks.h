/* SPDX-License-Identifier: ISC */
/* Failed logins: the growing delay, and the block of an address, its network or an account. */
#ifndef LIMITER_BLOCKS_H
#define LIMITER_BLOCKS_H

#include "lib/base/str.h"

struct limiter;

struct block_state {
	bool blocked;
	int64_t left_ms, delay_ms;
	char reason[256];
};

/* What holds for a client at `address` and, where it is not empty, `login`. */
void blocks_find(struct limiter *l, struct str address, struct str login, struct block_state *out);

/* A login has passed or failed. */
void blocks_result(struct limiter *l, struct str address, struct str login, bool passed);

/* Sets a block by hand or for another reason than logins: `what` is "address", "network" or
 * "login". False where there was one already. */
bool blocks_set(struct limiter *l, struct str what, struct str key, struct str reason);

#endif
