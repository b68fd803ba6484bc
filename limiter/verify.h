/* SPDX-License-Identifier: ISC */
/*
 * Address verification: which addresses take mail, as probes found out, and which probes are under
 * way. A result is a fact (kind "verify"); what is under way is in memory, and begins anew after a
 * restart.
 */
#ifndef LIMITER_VERIFY_H
#define LIMITER_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/chan/chan.h"
#include "lib/msg/fields.h"

struct limiter;
struct verifies;

enum { VERIFY_TEXT_MAX = 250 };

struct verify_answer {
	bool probe; /* who asks is to submit the probe */
	bool waits; /* no answer yet: it comes by the function that verifies_new() was given */
	enum verify_status status;
	char text[VERIFY_TEXT_MAX + 1];
};

/* Answers one who waits: `who` and `head` as he gave them. */
typedef void verify_answer_fn(
    void *who, const struct chan_head *head, const struct verify_answer *answer);

struct verifies *verifies_new(verify_answer_fn *answer);
void verifies_free(struct verifies **vp);

/* What is known of the address. One that is not known, or whose result is old, is to be probed by
 * the first who asks; the others wait with him. `mode` says who does not
 * wait, or begins nothing. */
void verify_ask(struct limiter *l, void *who, const struct chan_head *head, struct str address,
    enum verify_mode mode, struct verify_answer *answer);

/* A probe is over. One that failed does not take a good result away before its time. */
void verify_result(
    struct limiter *l, struct str address, enum verify_status status, struct str text);

/* Who asked is gone; a probe that he was to submit is the next one's. */
void verify_forget(struct limiter *l, const void *who);

/* For the operator: what is known, as a line ("" where nothing is); and whether there was something
 * to forget. */
void verify_show(struct limiter *l, struct str address, char *out, size_t size);
bool verify_remove(struct limiter *l, struct str address);

/* Every second: gives up probes that never come to an end. */
void verify_tick(struct limiter *l);

#endif
