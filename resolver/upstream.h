/* SPDX-License-Identifier: ISC */
/* One set of DNS servers and the context of libunbound that asks them. Another set is another
 * context. */
#ifndef KP_RESOLVER_UPSTREAM_H
#define KP_RESOLVER_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "resolver/conf.h"

struct event_base;
struct ub_ctx;
struct why;

struct upstream {
	struct ub_ctx *ctx; /* NULL: there is no server to ask */
	size_t in_flight;
	TAILQ_ENTRY(upstream) link;
};

/* Trust anchors as lines; read before the sandbox. */
struct anchors {
	char **lines;
	size_t n;
};
int anchors_read(struct anchors *a, const struct setting_list *files, struct why *why) KP_MUST_USE;

/* `resolv_conf`: the text of that file. NULL with `why` where a setting is wrong. */
struct upstream *upstream_new(struct event_base *base, const struct resolver_conf *conf,
    const struct anchors *anchors, struct str resolv_conf, struct why *why) KP_MUST_USE;

/* Not from within a callback of libunbound. */
void upstream_free(struct upstream **up);

/* The next "nameserver" of a resolv.conf; false at the end. `rest` starts as the text. For tests,
 * too. */
bool resolv_conf_next(struct str *rest, struct str *address);

#endif
