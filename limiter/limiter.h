/* SPDX-License-Identifier: ISC */
/* What the parts of limiter share. */
#ifndef LIMITER_LIMITER_H
#define LIMITER_LIMITER_H

#include <event2/event_struct.h>

#include "limiter/conf.h"

struct counters;
struct facts;
struct notices;
struct service;
struct usages;
struct verifies;

extern const struct sandbox limiter_sandbox;

struct limiter {
	struct service *s;
	const struct limiter_conf *conf;
	struct counters *counters;
	struct facts *facts;
	struct usages *usages;
	struct notices *notices;
	struct verifies *verifies;
	struct event ev_flush;
	bool troubled; /* the facts could not be written, and that has been said */
};

#endif
