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

/* Who sets a block. The operator's keeps a login out from everywhere. */
enum block_by { BLOCK_BY_RULE = 1, BLOCK_BY_OPERATOR = 2 };

/* Sets a block: `what` is "address", "network" or "login". False where there was one already. */
bool blocks_set(
    struct limiter *l, enum block_by by, struct str what, struct str key, struct str reason);

#endif
