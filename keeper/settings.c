/* SPDX-License-Identifier: ISC */
/* The settings of keeper, one row each. */
#include "keeper/conf.h"

static const struct setting rows[] = {
    SETTING_INT_ROW(keeper_conf, keeper_queue_max, "1000", 1, 1000000,
	"most passwords that wait to be checked; those beyond are told to come again"),
};

const struct settings keeper_settings = {
    "keeper", rows, sizeof rows / sizeof rows[0], sizeof(struct keeper_conf)};
