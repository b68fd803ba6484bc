/* SPDX-License-Identifier: ISC */
/* The settings of limiter, one row each. */
#include "limiter/conf.h"

static const struct setting rows[] = {
    SETTING_INT_ROW(limiter_conf, limiter_entries_max, "1000000", 1000, 1000000000,
	"most counters that are kept at once; the least recent one goes first"),
};

const struct settings limiter_settings = {
    "limiter", rows, sizeof rows / sizeof rows[0], sizeof(struct limiter_conf)};
