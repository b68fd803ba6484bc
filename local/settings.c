/* SPDX-License-Identifier: ISC */
/* Local's settings. Those that do what a Postfix parameter does bear its name. */
#include "local/conf.h"

#define S local_conf

static const struct setting rows[] = {
    SETTING_TEXT_ROW(S, default_privs, "nobody",
	"the user for commands and files of alias tables that root owns"),
    SETTING_TEXT_ROW(S, home_mailbox, "",
	"a user's mailbox below the home folder; with a slash at its end a Maildir"),
    SETTING_TEXT_ROW(S, mail_spool_directory, "/var/mail",
	"the folder of all users' mailboxes; with a slash at its end they are Maildirs"),
    SETTING_COMMAND_ROW(
	S, mailbox_command, "", "the command that takes a user's mail instead of a mailbox"),
    SETTING_LIST_ROW(S, allow_mail_to_commands, "alias, forward",
	"where |command may stand: alias, forward, include"),
    SETTING_LIST_ROW(
	S, allow_mail_to_files, "alias, forward", "where /file may stand: alias, forward, include"),
    SETTING_LIST_ROW(S, forward_path, "{~/.forward+%e}, {~/.forward}",
	"a user's own instructions: the first of these files that is there; ~ is the home folder, "
	"%e the extension"),
    SETTING_TIME_ROW(
	S, command_time_limit, "1000s", 1000, 86400000, "time limit for a command that takes mail"),
    SETTING_TIME_ROW(S, mailbox_lock_time_limit, "20s", 0, 3600000,
	"how long to wait for the lock of a mailbox"),
    SETTING_INT_ROW(S, alias_recursion_limit, "50", 1, 1000,
	"deepest nesting of local aliases and :include: files"),
    SETTING_INT_ROW(S, alias_expansion_limit, "10000", 1, 1000000,
	"most targets that one recipient may expand to"),
    SETTING_INT_ROW(
	S, virtual_minimum_uid, "100", 1, 4294967294, "smallest uid of a virtual mailbox"),
    SETTING_INT_ROW(
	S, local_agents_max, "100", 1, 10000, "most delivery agents, one a user, at the same time"),
    SETTING_TIME_ROW(S, local_agent_idle_time, "10s", 0, 3600000,
	"how long a delivery agent stays without work"),
    SETTING_INT_ROW(
	S, local_deliveries_max, "2000", 1, 100000, "most deliveries under way; more are put off"),
    SETTING_TIME_ROW(S, local_delivery_time_limit, "1500s", 1000, 86400000,
	"time limit for one step of a delivery, a command included"),
};

const struct settings local_settings = {
    "local", rows, sizeof rows / sizeof rows[0], sizeof(struct local_conf)};
