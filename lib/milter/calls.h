/* SPDX-License-Identifier: ISC */
/* Connections to milters: a host has none of its own making, master makes them. */
#ifndef KP_MILTER_CALLS_H
#define KP_MILTER_CALLS_H

#include <stdbool.h>
#include <stdint.h>

struct chan;
struct milter;
struct milter_call;

/* Those that master has been asked for; all zero at first. They live in one place: the object does
 * not move. */
struct milter_calls {
	struct chan *master;
	struct milter_call *first;
};

/* As struct milter_host's connect() and forget(). */
bool milter_calls_connect(
    struct milter_calls *calls, uint64_t trace, struct milter *milter, const char *target);
void milter_calls_forget(struct milter_calls *calls, struct milter *milter);

/* Forgets all. */
void milter_calls_clear(struct milter_calls *calls);

#endif
