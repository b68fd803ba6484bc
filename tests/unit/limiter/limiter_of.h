/* SPDX-License-Identifier: ISC */
/* A limiter without its service: tables, a folder of its own, the default settings. */
#ifndef TESTS_LIMITER_OF_H
#define TESTS_LIMITER_OF_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "limiter/counters.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"
#include "limiter/notices.h"
#include "limiter/usage.h"

struct bench {
	struct limiter l;
	struct limiter_conf conf;
	char folder[64];
};

static inline int
bench_up(void **state)
{
	struct bench *b = xcalloc(1, sizeof *b);
	struct why why;

	snprintf(b->folder, sizeof b->folder, "/tmp/kp-limiter-XXXXXX");
	if (mkdtemp(b->folder) == NULL)
		return -1;
	settings_init(&limiter_settings, &b->conf);
	b->l = (struct limiter){
	    .conf = &b->conf,
	    .counters = counters_new(1000),
	    .facts = facts_open(b->folder, 1000, &why),
	    .usages = usages_new(),
	    .notices = notices_new(),
	};
	*state = b;
	return b->l.facts != NULL ? 0 : -1;
}

static inline int
bench_down(void **state)
{
	struct bench *b = *state;
	char path[80];

	counters_free(&b->l.counters);
	facts_free(&b->l.facts);
	usages_free(&b->l.usages);
	notices_free(&b->l.notices);
	settings_clear(&limiter_settings, &b->conf);
	snprintf(path, sizeof path, "%s/facts", b->folder);
	unlink(path);
	int rc = rmdir(b->folder);
	free(b);
	return rc;
}

#endif
