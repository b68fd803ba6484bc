/* SPDX-License-Identifier: ISC */
/* What the parts of keeper share. */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include "keeper/conf.h"

struct service;

extern const struct sandbox keeper_sandbox;

struct keeper {
	struct service *s;
	const struct keeper_conf *conf;
};

#endif
