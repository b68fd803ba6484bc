/* SPDX-License-Identifier: ISC */
/*
 * spawn: starts a delivery agent as the right user, and tells when it has ended. The one program
 * beside master that keeps root.
 *
 * Trusted: master, the system's user database. Hostile: local, whose only message is SPAWN: it can
 * have an agent of any user but root, and of a number from virtual_minimum_uid on. keeper, which
 * can have checkpassword_command run as checkpassword_user. Neither can choose what is run.
 */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/service/service.h"
#include "spawn/spawn.h"

static void
on_limit(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	const struct child *child = arg;

	kill(child->pid, SIGKILL);
}

/* After `limit_ms` (0: never) it is ended. */
static int
child_start(struct spawn *sp, struct chan *ch, const struct identity *who, int channel,
    int64_t limit_ms, struct why *why)
{
	struct timeval tv = clock_tv(limit_ms);

	if (sp->n >= (size_t)sp->conf->spawn_processes_max)
		return why_temp(why, "4.3.2", "too many delivery agents run");
	pid_t pid = fork();
	if (pid == -1)
		return why_sys(why, "4.3.0", "start a delivery agent");
	if (pid == 0)
		become_and_run(sp, who, channel);
	struct child *child = xcalloc(1, sizeof *child);
	*child = (struct child){.pid = pid, .ch = ch};
	if (limit_ms > 0 &&
	    ((child->limit = evtimer_new(sp->s->loop.base, on_limit, child)) == NULL ||
		evtimer_add(child->limit, &tv) == -1))
		fatal("no timer");
	TAILQ_INSERT_TAIL(&sp->children, child, link);
	sp->n++;
	return pid;
}

static void
on_spawn(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	char *user = str_dup(msg->spawn.user);
	struct why why;

	/* A NUL inside the name would make another name of it. */
	if (strlen(user) != msg->spawn.user.n || msg->spawn.uid > UINT32_MAX - 1 ||
	    msg->spawn.gid > UINT32_MAX - 1 || msg->spawn.channel == -1) {
		chan_fail(ch, "a malformed SPAWN");
		free(user);
		return;
	}
	struct identity who = {
	    user, (uid_t)msg->spawn.uid, (gid_t)msg->spawn.gid, msg->spawn.mailbox, NULL};
	int pid = child_start(s->state, ch, &who, msg->spawn.channel, 0, &why);
	if (pid == -1)
		chan_refuse(ch, head, &why);
	else
		chan_reply(ch, head, MSG_SPAWNED, &(struct msg_spawned){.pid = (uint64_t)pid});
	free(user);
	service_worked(s);
}

/* The words of checkpassword_command; the caller frees the array and its text. */
static char **
words_of(char *text)
{
	enum { WORDS_MAX = 32 };
	char **words = xcalloc(WORDS_MAX + 1, sizeof *words);
	size_t n = 0;

	for (char *word; n < WORDS_MAX && (word = strsep(&text, " \t")) != NULL;)
		if (*word != '\0')
			words[n++] = word;
	return words;
}

static int
start_checkpassword(struct spawn *sp, struct chan *ch, int input, struct why *why)
{
	char *text = xstrdup(sp->conf->checkpassword_command);
	char **command = words_of(text);
	struct identity who = {.user = sp->conf->checkpassword_user, .command = command};
	int pid = -1;

	if (command[0] == NULL || command[0][0] != '/' || who.user[0] == '\0')
		why_perm(why, NULL,
		    "checkpassword_command is not an absolute path, or there is no "
		    "checkpassword_user");
	else
		pid = child_start(sp, ch, &who, input, sp->conf->checkpassword_timeout, why);
	free(command);
	free(text);
	return pid;
}

static void
on_spawn_checkpassword(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct why why;

	if (msg->spawn_checkpassword.input == -1) {
		chan_fail(ch, "a malformed SPAWN_CHECKPASSWORD");
		return;
	}
	int pid = start_checkpassword(s->state, ch, msg->spawn_checkpassword.input, &why);
	if (pid == -1)
		chan_refuse(ch, head, &why);
	else
		chan_reply(ch, head, MSG_SPAWNED, &(struct msg_spawned){.pid = (uint64_t)pid});
	service_worked(s);
}

static void
child_end(struct spawn *sp, pid_t pid, int status)
{
	struct msg_spawn_exit msg = {.pid = (uint64_t)pid, .status = (uint64_t)(unsigned)status};
	struct child *child;

	TAILQ_FOREACH (child, &sp->children, link)
		if (child->pid == pid)
			break;
	if (child == NULL)
		return;
	if (child->ch != NULL && chan_send(child->ch, 0, 0, MSG_SPAWN_EXIT, &msg) == -1)
		chan_fail(child->ch, "no room for SPAWN_EXIT");
	TAILQ_REMOVE(&sp->children, child, link);
	sp->n--;
	if (child->limit != NULL)
		event_free(child->limit);
	free(child);
}

static void
on_sigchld(KP_UNUSED evutil_socket_t sig, KP_UNUSED short what, void *arg)
{
	struct spawn *sp = arg;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_end(sp, pid, status);
}

/* Agents end by themselves when their channel, whose other end local had, is closed; others have
 * their limit. */
static void
on_partner_gone(struct service *s, struct chan *ch)
{
	struct spawn *sp = s->state;
	struct child *child;

	TAILQ_FOREACH (child, &sp->children, link)
		if (child->ch == ch)
			child->ch = NULL;
}

/* The delivery agent stands beside this program. */
static char *
agent_path(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		fatal_sys("find the folder of the programs");
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash == NULL)
		fatal("find the folder of the programs");
	*slash = '\0';
	return xasprintf("%s/deliver", self);
}

static int
spawn_open(struct service *s, struct why *why)
{
	struct spawn *sp = xcalloc(1, sizeof *sp);

	sp->s = s;
	sp->conf = s->conf;
	TAILQ_INIT(&sp->children);
	sp->agent = agent_path();
	s->state = sp;
	return access(sp->agent, X_OK) == 0
		   ? 0
		   : why_sys(why, NULL, "the delivery agent %s", sp->agent);
}

static int
spawn_start(struct service *s, KP_UNUSED struct why *why)
{
	struct spawn *sp = s->state;

	sp->on_child = evsignal_new(s->loop.base, SIGCHLD, on_sigchld, sp);
	if (sp->on_child == NULL || event_add(sp->on_child, NULL) == -1)
		fatal("no event for SIGCHLD");
	return 0;
}

static const struct chan_rule from_local[] = {
    {MSG_SPAWN, on_spawn},
    {MSG_NONE,  NULL    },
};

static const struct chan_rule from_keeper[] = {
    {MSG_SPAWN_CHECKPASSWORD, on_spawn_checkpassword},
    {MSG_NONE,		NULL                  },
};

static const struct service_peer peers[] = {
    {PROGRAM_LOCAL, from_local, NULL, on_partner_gone},
    {PROGRAM_KEEPER,         from_keeper, NULL, on_partner_gone},
    {PROGRAM_NONE            },
};

static const struct service_table table = {
    .program = PROGRAM_SPAWN,
    .tag = "spawn",
    .settings = &spawn_settings,
    .sandbox = &spawn_sandbox,
    .peers = peers,
    .open = spawn_open,
    .start = spawn_start,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
