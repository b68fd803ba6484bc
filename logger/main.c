/* SPDX-License-Identifier: ISC */
/*
 * logger: writes the log. Every other program has a channel to it, for events that are rendered
 * here.
 *
 * Privilege: kp-log, its log folder and the system's log. Trusted: the configuration. Hostile:
 * every event. It works in rounds of 20 ms: lines wait in its sockets meanwhile, so that a busy
 * suite does not switch processes for each.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "logger/logger.h"

enum {
	ROUND_MS = 20,
	SETTLE_MS = 10, /* a line may come so much later than one that was said after it */
	CHECK_MS = 1000,
	LAST_WORDS_MS = 50,
};

/* The round is over: write what it brought, then let lines gather. Nothing here is worth being
 * quicker for. */
static void
on_round_end(void *arg)
{
	struct logger *l = arg;
	const struct timespec pause = {.tv_nsec = ROUND_MS * 1000000L};

	if (clock_ms() - l->checked_ms > CHECK_MS) {
		sink_check(&l->text);
		sink_check(&l->json);
		l->checked_ms = clock_ms();
	}
	lines_write(l, l->service->stopping ? UINT64_MAX : (uint64_t)wall_us() - SETTLE_MS * 1000);
	sink_flush(&l->text);
	sink_flush(&l->json);
	if (l->service->stopping)
		return;
	nanosleep(&pause, NULL);
	if (l->nlines > 0)
		loop_defer(&l->service->loop, &l->flush);
}

static void
on_log(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct logger *l = s->state;
	const struct service_partner *from = service_partner(ch);

	if (from == NULL)
		return;
	line_add(l, from, head->trace, &msg->log);
	loop_defer(&s->loop, &l->flush);
}

static int
open_logger(struct service *s, struct why *why)
{
	struct logger *l = xcalloc(1, sizeof *l);

	(void)why;
	tzset();
	*l = (struct logger){
	    .service = s,
	    .conf = s->conf,
	    .syslog_fd = -1,
	    .flush = {.on_round_end = on_round_end, .arg = l}
        };
	if (gethostname(l->host, sizeof l->host - 1) == -1 || l->host[0] == '\0')
		(void)str_copy(l->host, sizeof l->host, STR("localhost"));
	s->state = l;
	syslog_connect(l);
	return 0;
}

/* Behind the sandbox, so that the files belong to logger's user. */
static int
start_logger(struct service *s, struct why *why)
{
	struct logger *l = s->state;

	(void)why;
	sink_open(&l->text, l->conf->maillog_file);
	sink_open(&l->json, l->conf->maillog_json_file);
	return 0;
}

static void
on_reload(struct service *s)
{
	struct logger *l = s->state;

	sink_close(&l->text);
	sink_close(&l->json);
	syslog_connect(l);
	(void)start_logger(s, NULL); /* a file that cannot be had is said on standard error */
}

static void
on_quiet(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;
	struct logger *l = s->state;

	(void)fd;
	(void)what;
	lines_write(l, UINT64_MAX);
	sink_flush(&l->text);
	sink_flush(&l->json);
	service_exit(s);
}

/* logger stops last: what the others said with their last breath is read in the rounds until the
 * timer. */
static void
on_stop(struct service *s, int64_t grace_ms)
{
	const struct timeval last_words =
	    clock_tv(grace_ms < LAST_WORDS_MS ? grace_ms : LAST_WORDS_MS);

	if (event_base_once(s->loop.base, -1, EV_TIMEOUT, on_quiet, s, &last_words) == -1)
		service_exit(s);
}

static const struct chan_rule rules[] = {
    {MSG_LOG,  on_log},
    {MSG_NONE, NULL  },
};

#define FROM(PROGRAM)                                \
	{                                            \
		PROGRAM_##PROGRAM, rules, NULL, NULL \
	}
static const struct service_peer peers[] = {
    FROM(MASTER),
    FROM(SMTPD),
    FROM(PICKUP),
    FROM(CLEANUP),
    FROM(ROUTER),
    FROM(TABLES),
    FROM(RESOLVER),
    FROM(LIMITER),
    FROM(KEEPER),
    FROM(QMGR),
    FROM(REMOTE),
    FROM(LOCAL),
    FROM(SPAWN),
    FROM(BOUNCE),
    {PROGRAM_NONE, NULL, NULL, NULL},
};

int
main(int argc, char **argv)
{
	static const struct service_table table = {
	    .program = PROGRAM_LOGGER,
	    .tag = "logger",
	    .settings = &logger_settings,
	    .sandbox = &logger_sandbox,
	    .peers = peers,
	    .open = open_logger,
	    .start = start_logger,
	    .on_stop = on_stop,
	    .on_reload = on_reload,
	};

	return service_main(argc, argv, &table);
}
