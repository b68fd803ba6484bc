/* SPDX-License-Identifier: ISC */
/*
 * A checkpassword program gets "user NUL password NUL timestamp NUL" on its descriptor 3 and says
 * by its exit status: 0 fits, 1 does not, 111 (or anything else) could not tell. The pipe takes it
 * all at once, so nobody waits for the program to read. spawn knows which program and which user,
 * and ends it when it takes too long.
 */
#include "keeper/checkpassword.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/auth.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"

enum { INPUT_MAX = 512, STATUS_FITS = 0, STATUS_DOES_NOT = 1 };

/* One that runs. It stays until its end is known, even where nobody waits for it any more: it
 * counts towards the limit. */
struct check {
	TAILQ_ENTRY(check) link;
	struct checks *checks;
	struct exchange *x; /* NULL: gone */
	struct chan *spawn;
	uint32_t request; /* 0: it has started */
	uint64_t pid;
};

struct checks {
	TAILQ_HEAD(, check) running;
	size_t n;
};

struct checks *
checks_new(void)
{
	struct checks *c = xcalloc(1, sizeof *c);

	TAILQ_INIT(&c->running);
	return c;
}

static void
check_free(struct check *c)
{
	if (c->x != NULL)
		c->x->check = NULL;
	TAILQ_REMOVE(&c->checks->running, c, link);
	c->checks->n--;
	free(c);
}

void
checks_drop(struct exchange *x)
{
	if (x->check != NULL)
		x->check->x = NULL;
	x->check = NULL;
}

static void
end_unknown(struct check *c, const char *reason)
{
	struct exchange *x = c->x;

	check_free(c);
	if (x != NULL)
		exchange_fail_temp(x, reason);
}

static void
on_spawned(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct check *c = arg;

	c->request = 0;
	if (msg != NULL && head->type == MSG_SPAWNED) {
		c->pid = msg->spawned.pid;
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		log_warning("checkpassword: %.*s", STR_ARG(msg->refused.text));
	end_unknown(c, "the checkpassword program cannot be started");
}

/* The reading end of a pipe that holds all that the program reads; -1: none. */
static int
input_make(const struct exchange *x)
{
	struct buf b = {.max = INPUT_MAX};
	int fds[2] = {-1, -1};
	bool fine = buf_puts(&b, x->login) == 0 && buf_byte(&b, '\0') == 0 &&
		    buf_str(&b, buf_view(&x->password)) == 0 && buf_byte(&b, '\0') == 0 &&
		    buf_printf(&b, "%lld", (long long)(wall_us() / 1000000)) == 0 &&
		    buf_byte(&b, '\0') == 0;

	if (fine && pipe2(fds, O_CLOEXEC) == 0 && write_all(fds[1], b.p, b.n) == -1)
		fd_close(&fds[0]);
	fd_close(&fds[1]);
	buf_free_secret(&b);
	return fds[0];
}

void
checks_begin(struct exchange *x)
{
	struct auth *a = x->auth;
	struct chan *spawn = service_peer(a->k->s, PROGRAM_SPAWN, 0);

	if (spawn == NULL || a->checks->n >= (size_t)a->k->conf->checkpassword_concurrency_limit) {
		exchange_fail_temp(x,
		    spawn == NULL ? "spawn is not running" : "too many checkpassword programs run");
		return;
	}
	struct msg_spawn_checkpassword msg = {.input = input_make(x)};
	if (msg.input == -1) {
		exchange_fail(x, "more than the 512 octets that a checkpassword program reads");
		return;
	}
	struct check *c = xcalloc(1, sizeof *c);
	*c = (struct check){.checks = a->checks, .x = x, .spawn = spawn};
	TAILQ_INSERT_TAIL(&a->checks->running, c, link);
	a->checks->n++;
	x->check = c;
	exchange_wait(x);
	c->request = chan_call(spawn, x->head.trace, MSG_SPAWN_CHECKPASSWORD, &msg, on_spawned, c);
	fd_close(&msg.input);
	if (c->request == 0)
		end_unknown(c, "spawn does not answer");
}

static void
end_known(struct check *c, int status)
{
	struct exchange *x = c->x;

	check_free(c);
	if (x == NULL)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_FITS)
		exchange_ok(x, str_from(x->login));
	else if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_DOES_NOT)
		exchange_fail(x, "authentication failure");
	else
		exchange_fail_temp(x, "the checkpassword program could not tell");
}

void
on_spawn_exit(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct checks *checks = keeper_of(ch)->auth->checks;
	struct check *c;

	(void)head;
	TAILQ_FOREACH (c, &checks->running, link)
		if (c->spawn == ch && c->request == 0 && c->pid == msg->spawn_exit.pid) {
			end_known(c, (int)msg->spawn_exit.status);
			return;
		}
}

void
checks_gone(struct auth *a, struct chan *ch)
{
	struct check *c, *next;

	for (c = TAILQ_FIRST(&a->checks->running); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->spawn == ch && c->request == 0)
			end_unknown(c, "spawn has gone");
	}
}
