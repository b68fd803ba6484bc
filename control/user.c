/* SPDX-License-Identifier: ISC */
/*
 * user: the suite's own accounts. Passwords are hashed here, and only the record goes to keeper.
 * Where the suite is down, root opens the database itself.
 */
#include <bsd/readpassphrase.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "control/kingpost.h"
#include "lib/base/why.h"
#include "lib/users/secret.h"
#include "lib/users/users.h"

struct change {
	const char *word; /* of USER_ACT */
	enum users_change kind;
	const char *name;
	unsigned schemes;
};

/* --- passwords --- */

static bool
ask_twice(char *password, char *again, size_t size)
{
	if (readpassphrase("Password: ", password, size, RPP_ECHO_OFF) == NULL ||
	    readpassphrase("Again: ", again, size, RPP_ECHO_OFF) == NULL)
		return false;
	if (strcmp(password, again) == 0)
		return true;
	complain("the two are not the same");
	return false;
}

/* From the terminal, or the first line of standard input. */
static bool
read_password(char *password, size_t size)
{
	char again[SECRET_PASSWORD_MAX + 2];

	if (isatty(STDIN_FILENO)) {
		bool fine = ask_twice(password, again, size);
		explicit_bzero(again, sizeof again);
		return fine;
	}
	if (fgets(password, (int)size, stdin) == NULL)
		return false;
	password[strcspn(password, "\n")] = '\0';
	return true;
}

static int
make_record(const struct change *c, struct buf *record, struct why *why)
{
	char password[SECRET_PASSWORD_MAX + 2];
	int rc = -1;

	if (c->kind == USERS_DELETE)
		return 0;
	if (read_password(password, sizeof password))
		rc = secret_make(str_from(password), c->schemes, record, why);
	else
		why_perm(why, NULL, "no password was given");
	explicit_bzero(password, sizeof password);
	return rc;
}

/* --- where the accounts are --- */

/* Whether a suite is running that can be asked. */
static bool
is_running(const struct kingpost *k)
{
	struct why why;
	struct chan_client *c = client_connect(k, "control", &why);
	bool running = c != NULL || why.class == WHY_PERM;

	chan_client_free(&c);
	return running;
}

static struct users *
open_here(const struct kingpost *k, struct why *why)
{
	char folder[PATH_MAX + 8];
	struct stat st;

	snprintf(folder, sizeof folder, "%s/auth", k->layout.spool);
	if (stat(folder, &st) == -1) {
		why_sys(why, NULL, "%s (the first start of the suite makes it)", folder);
		return NULL;
	}
	return users_open(folder, why);
}

static int
change_there(const struct kingpost *k, const struct change *c, struct str record, struct why *why)
{
	struct chan_client *keeper = client_program(k, "keeper", why);
	struct msg_user_act msg = {
	    .action = str_from(c->word), .name = str_from(c->name), .record = record};
	int rc = -1;

	if (keeper != NULL)
		rc = client_ask(keeper, MSG_USER_ACT, &msg, NULL, NULL, NULL, why);
	chan_client_free(&keeper);
	return rc;
}

static int
change_here(const struct kingpost *k, const struct change *c, struct str record, struct why *why)
{
	struct users *users = open_here(k, why);
	struct buf name = {.max = USERS_NAME_MAX};
	int rc = -1;

	if (users == NULL)
		return -1;
	if (users_name(str_from(c->name), &name))
		rc = users_set(users, c->kind, buf_view(&name), record, why);
	else
		why_perm(why, NULL, "%s: this can be no name", c->name);
	buf_free(&name);
	users_close(&users);
	return rc;
}

/* --- the commands --- */

static int
change(struct kingpost *k, const struct change *c)
{
	struct buf record = {.max = SECRET_MAX};
	struct why why;
	int rc = make_record(c, &record, &why);

	if (rc == 0 && is_running(k))
		rc = change_there(k, c, buf_view(&record), &why);
	else if (rc == 0)
		rc = change_here(k, c, buf_view(&record), &why);
	buf_free_secret(&record);
	if (rc == 0)
		return EX_OK;
	complain("%s", why.text);
	return exit_status(&why);
}

/* "--scheme crypt|scram": one of the two instead of both. */
static bool
read_arguments(int argc, char **argv, struct change *c)
{
	c->schemes = SECRET_CRYPT | SECRET_SCRAM;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--scheme") == 0 && i + 1 < argc) {
			i++;
			c->schemes =
			    strcmp(argv[i], "crypt") == 0 || strcmp(argv[i], "yescrypt") == 0
				? SECRET_CRYPT
			    : strcmp(argv[i], "scram") == 0 ? SECRET_SCRAM
							    : 0;
		} else if (argv[i][0] != '-' && c->name == NULL) {
			c->name = argv[i];
		} else {
			return false;
		}
	}
	return c->name != NULL && c->schemes != 0;
}

int
cmd_user_add(struct kingpost *k, int argc, char **argv)
{
	struct change c = {.word = "add", .kind = USERS_ADD};

	return read_arguments(argc, argv, &c) ? change(k, &c) : EX_USAGE;
}

int
cmd_user_passwd(struct kingpost *k, int argc, char **argv)
{
	struct change c = {.word = "passwd", .kind = USERS_REPLACE};

	return read_arguments(argc, argv, &c) ? change(k, &c) : EX_USAGE;
}

int
cmd_user_delete(struct kingpost *k, int argc, char **argv)
{
	struct change c = {.word = "delete", .kind = USERS_DELETE, .name = argv[1]};

	return argc == 2 ? change(k, &c) : EX_USAGE;
}

static bool
print_here(void *arg, struct str name, struct str record)
{
	(void)arg;
	printf("%-40.*s %s\n", STR_ARG(name), users_schemes(record));
	return true;
}

static void
print_there(void *arg, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	if (type == MSG_USER_ROW)
		printf(
		    "%-40.*s %.*s\n", STR_ARG(msg->user_row.name), STR_ARG(msg->user_row.schemes));
}

int
cmd_user_list(struct kingpost *k, int argc, char **argv)
{
	struct chan_client *keeper = NULL;
	struct msg_user_list msg = {0};
	struct users *users = NULL;
	struct why why;
	int rc = -1;

	(void)argv;
	if (argc != 1)
		return EX_USAGE;
	if (is_running(k)) {
		keeper = client_program(k, "keeper", &why);
		if (keeper != NULL)
			rc = client_ask(keeper, MSG_USER_LIST, &msg, print_there, NULL, NULL, &why);
	} else {
		users = open_here(k, &why);
		if (users != NULL)
			rc = users_list(users, STR_EMPTY, print_here, NULL, &why);
	}
	chan_client_free(&keeper);
	users_close(&users);
	if (rc == 0)
		return EX_OK;
	complain("%s", why.text);
	return exit_status(&why);
}
