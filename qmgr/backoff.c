/* SPDX-License-Identifier: ISC */
/*
 * Exponential back-off: minimal_backoff_time, twice that, ... up to maximal_backoff_time, and up to
 * a quarter more by chance, so that what failed together does not come back together.
 */
#include "qmgr/backoff.h"

#include <bsd/stdlib.h>

#include "qmgr/conf.h"

int64_t
backoff_us(const struct qmgr_conf *conf, uint64_t attempts)
{
	int64_t wait = conf->minimal_backoff_time;

	for (uint64_t i = 1; i < attempts && wait < conf->maximal_backoff_time; i++)
		wait *= 2;
	if (wait > conf->maximal_backoff_time)
		wait = conf->maximal_backoff_time;
	int64_t spread = wait / 4 < UINT32_MAX ? wait / 4 : UINT32_MAX;
	return (wait + arc4random_uniform((uint32_t)spread + 1)) * 1000;
}
