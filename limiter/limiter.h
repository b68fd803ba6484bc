/* SPDX-License-Identifier: ISC */
/* What the parts of limiter share. */
#ifndef LIMITER_LIMITER_H
#define LIMITER_LIMITER_H

#include "limiter/conf.h"

struct service;

extern const struct sandbox limiter_sandbox;

struct limiter {
	struct service *s;
	const struct limiter_conf *conf;
};

#endif
