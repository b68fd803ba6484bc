/* SPDX-License-Identifier: ISC */
/* What keeper is told. */
#ifndef KEEPER_CONF_H
#define KEEPER_CONF_H

#include "lib/conf/common.h"

struct keeper_conf {
	struct conf_common common;
	int64_t keeper_queue_max;
};

extern const struct settings keeper_settings;

#endif
