/* SPDX-License-Identifier: ISC */
/* What limiter is told. */
#ifndef LIMITER_CONF_H
#define LIMITER_CONF_H

#include "lib/conf/common.h"

struct limiter_conf {
	struct conf_common common;
	int64_t limiter_entries_max;
};

extern const struct settings limiter_settings;

#endif
