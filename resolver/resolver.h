/* SPDX-License-Identifier: ISC */
/* What resolver's files share. */
#ifndef KP_RESOLVER_RESOLVER_H
#define KP_RESOLVER_RESOLVER_H

#include <sys/queue.h>

#include "lib/chan/loop.h"
#include "resolver/conf.h"
#include "resolver/source.h"
#include "resolver/upstream.h"

struct event;
struct hosts;
struct sandbox;
struct sandbox_path;
struct service;

extern const struct sandbox resolver_sandbox;

struct resolver {
	struct service *s;
	const struct resolver_conf *conf;
	struct anchors anchors;
	struct source resolv_conf, hosts_file;
	struct hosts *hosts;
	struct upstream *upstream;  /* asked now */
	TAILQ_HEAD(, upstream) old; /* with questions still under way */
	TAILQ_HEAD(, question) questions;
	size_t in_flight;
	struct event *timer;
	struct loop_task sweep; /* frees old upstreams outside the library's callbacks */
	struct sandbox_path *paths;
};

#endif
