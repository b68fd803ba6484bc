/* SPDX-License-Identifier: ISC */
/*
 * master: reads the configuration, binds the sockets, starts, wires, restarts and recycles all
 * other programs.
 *
 * Privilege: root, for as long as it runs (or one ordinary user, with everything else then under
 * that one, too). Trusted: kingpost.conf, the commands of operators on run/control. Hostile: what
 * workers say on their control channels. It never sees a byte of mail, and nothing from the
 * network.
 */
#include <bsd/libutil.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "master/master.h"
#include "master/wiring.h"

enum { ERRORS_MAX = 1024 * 1024, KILL_AFTER_MS = 1000 };

/* --- telling whoever started us --- */

static bool
all_ready(const struct master *m)
{
	const struct service_unit *u;

	TAILQ_FOREACH (u, &m->units, link)
		if (workers_count(m, u, true) < u->wanted)
			return false;
	return true;
}

static void
answer_starter(struct master *m, const char *text)
{
	if (m->ready_fd == -1)
		return;
	(void)!write_all(
	    m->ready_fd, text, strlen(text)); /* a starter that is gone needs no answer */
	fd_close(&m->ready_fd);
}

void
master_ready(struct master *m)
{
	if (m->ready_fd != -1 && all_ready(m))
		answer_starter(m, "ready\n");
}

/* A fault as a line that begins with its file, which `text` may do already. */
static void
say_fault(const struct master *m, const char *text, struct buf *out)
{
	const char *file = m->all.layout.config;

	if (strncmp(text, file, strlen(file)) == 0)
		(void)!buf_printf(out, "%s\n", text);
	else
		(void)!buf_printf(out, "%s: %s\n", file, text);
}

void
master_failed(struct master *m, const char *text)
{
	log_error("%s", text);
	if (m->ready_fd == -1)
		return;
	struct buf words = {.max = ERRORS_MAX};
	say_fault(m, text, &words);
	answer_starter(m, buf_cstr(&words));
	buf_free(&words);
	master_stop(m, 0); /* a suite that cannot start as a whole does not start */
}

/* --- stopping, phase by phase --- */

static size_t
stop_those_of_phase(struct master *m)
{
	struct worker *w;
	size_t n = 0;

	TAILQ_FOREACH (w, &m->workers, link)
		if (wiring_program(w->program)->stop_phase == m->stop_phase) {
			worker_stop(w, false);
			n++;
		}
	return n;
}

void
master_stopping(struct master *m)
{
	while (m->stop_phase <= STOP_PHASES && stop_those_of_phase(m) == 0)
		m->stop_phase++;
	if (TAILQ_EMPTY(&m->workers))
		loop_stop(&m->loop);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	struct worker *w;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (w, &m->workers, link)
		kill(w->pid, SIGKILL);
}

void
master_stop(struct master *m, int signal)
{
	struct ev_stopped ev = {.signal = (uint64_t)signal};
	struct timeval tv = clock_tv(m->conf.stop_timeout + KILL_AFTER_MS);

	if (m->stop_phase != 0)
		return;
	log_event(0, EV_STOPPED, &ev);
	m->stop_phase = 1;
	m->ev_deadline = evtimer_new(m->loop.base, on_deadline, m);
	if (m->ev_deadline == NULL || evtimer_add(m->ev_deadline, &tv) == -1)
		fatal("no timer");
	master_stopping(m);
}

/* --- configuration --- */

static struct config *
load(const struct master *m, struct buf *errors, size_t *faults)
{
	struct config *config = config_load(&m->all.tables, m->all.layout.config, NULL, errors);

	*faults = config_faults(config);
	if (*faults == 0)
		*faults = settings_check_trust(config, errors);
	return config;
}

int
master_reload(struct master *m, struct buf *errors)
{
	size_t faults;
	struct config *config = load(m, errors, &faults);
	struct why why;

	m->generation++;
	if (faults == 0 && units_apply(m, config, &why) == 0) {
		log_info(
		    "reload -- version %s, configuration %s", KP_VERSION, m->all.layout.config);
		return 0;
	}
	if (faults == 0) {
		say_fault(m, why.text, errors);
		faults = 1;
	}
	log_error("reload refused, the old configuration stays: %s", buf_cstr(errors));
	config_free(&config);
	return (int)faults;
}

static int
first_configuration(struct master *m)
{
	struct buf errors = {.max = ERRORS_MAX};
	size_t faults;
	struct config *config = load(m, &errors, &faults);
	struct why why = {0};
	int result = EX_CONFIG;

	if (faults == 0 && prepare_folders(m, &why) == 0 && prepare_pidfile(m, &why) == 0 &&
	    units_apply(m, config, &why) == 0 && control_open(m, &why) == 0)
		result = 0;
	if (why.text[0] != '\0')
		say_fault(m, why.text, &errors);
	if (errors.n > 0 && m->ready_fd == -1)
		fputs(buf_cstr(&errors), stderr);
	else if (errors.n > 0)
		answer_starter(m, buf_cstr(&errors));
	if (faults > 0)
		config_free(&config);
	buf_free(&errors);
	return result;
}

/* --- signals --- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;
	struct buf errors = {.max = ERRORS_MAX};

	(void)what;
	if (number == SIGCHLD)
		workers_reap(m);
	else if (number == SIGHUP)
		(void)master_reload(m, &errors); /* it has said what there is to say in the log */
	else
		master_stop(m, (int)number);
	buf_free(&errors);
}

static void
watch_signals(struct master *m)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < NELEM(numbers); i++) {
		m->ev_signals[i] = evsignal_new(m->loop.base, numbers[i], on_signal, m);
		if (m->ev_signals[i] == NULL || event_add(m->ev_signals[i], NULL) == -1)
			fatal("signal %d cannot be watched", numbers[i]);
	}
}

static void
make_metrics(struct master *m)
{
	size_t size = METRIC_SLOTS * sizeof(struct metric_slot);

	m->metrics_fd = memfd_create("kingpost-metrics", MFD_CLOEXEC);
	if (m->metrics_fd == -1 || ftruncate(m->metrics_fd, (off_t)size) == -1)
		fatal_sys("memory for metrics");
	m->metrics = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->metrics_fd, 0);
	if (m->metrics == MAP_FAILED)
		fatal_sys("memory for metrics");
}

static void
init(struct master *m, const struct layout *layout, int ready_fd)
{
	*m = (struct master){
	    .privileged = geteuid() == 0, .ready_fd = ready_fd, .control_fd = -1, .next_id = 1};
	TAILQ_INIT(&m->units);
	TAILQ_INIT(&m->workers);
	TAILQ_INIT(&m->listeners);
	TAILQ_INIT(&m->sessions);
	m->started_us = wall_us();
	settings_all_init(&m->all, layout);
	settings_init(&conf_common_settings, &m->conf);
	settings_init(&master_settings, &m->conf);
	loop_init(&m->loop);
	make_metrics(m);
	watch_signals(m);
}

static void
clean_up(struct master *m)
{
	static const char *const names[] = {"submit", "queue", "control"};
	char path[PATH_MAX + 32];

	control_close(m);
	log_channel(NULL);
	chan_close(&m->log);
	if (m->pidfile == NULL)
		return; /* another master's, or none */
	for (size_t i = 0; i < NELEM(names); i++) {
		snprintf(path, sizeof path, "%s/%s", m->all.layout.run, names[i]);
		unlink(path);
	}
	pidfile_remove(m->pidfile);
}

static int
usage(void)
{
	fputs("usage: master [--root DIR] [--ready-fd N]\n", stderr);
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"root",     required_argument, NULL, 'r'},
            {"ready-fd", required_argument, NULL, 'f'},
	    {NULL,       0,                 NULL, 0  }
        };
	struct layout layout;
	struct master m;
	struct why why;
	uint64_t ready_fd = 0;
	const char *root = NULL;

	log_open("master");
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'r')
			root = optarg;
		else if (c != 'f' || !str_u64(str_from(optarg), 1024, &ready_fd))
			return usage();
	}
	if (optind != argc)
		return usage();
	if ((root != NULL ? layout_of(&layout, root, &why) : layout_find(&layout, &why)) == -1)
		fatal("%s", why.text);
	if (ready_fd > 0 && fd_cloexec((int)ready_fd, 1) == -1)
		return usage();
	init(&m, &layout, ready_fd > 0 ? (int)ready_fd : -1);
	int result = first_configuration(&m);
	if (result == 0) {
		struct ev_started ev = {
		    .version = STR(KP_VERSION), .configuration = str_from(m.all.layout.config)};
		log_event(0, EV_STARTED, &ev);
		loop_run(&m.loop);
	} else {
		m.conf.stop_timeout = 0;
		m.ready_fd = -1;
		master_stop(&m, 0);
		if (!TAILQ_EMPTY(&m.workers))
			loop_run(&m.loop);
	}
	clean_up(&m);
	return result;
}
