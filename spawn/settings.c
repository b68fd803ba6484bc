/* SPDX-License-Identifier: ISC */
/* Spawn's settings. */
#include "spawn/conf.h"

#define S spawn_conf

static const struct setting rows[] = {
    SETTING_INT_ROW(
	S, virtual_minimum_uid, "100", 1, 4294967294, "smallest uid of a virtual mailbox"),
    SETTING_INT_ROW(
	S, spawn_processes_max, "500", 1, 100000, "most delivery agents at the same time"),
    SETTING_TEXT_ROW(S, mail_spool_directory, "/var/mail",
	"the folder of all users' mailboxes; with a slash at its end they are Maildirs"),
    SETTING_COMMAND_ROW(S, checkpassword_command, "",
	"program and arguments, apart by blanks, for smtpd_sasl_type = checkpassword: "
	"\"/usr/bin/checkpassword "
	"/bin/true\""),
    SETTING_TEXT_ROW(S, checkpassword_user, "nobody", "the user it runs as; never root"),
    SETTING_TIME_ROW(
	S, checkpassword_timeout, "20s", 100, 3600 * 1000, "it is ended when it takes longer"),
};

const struct settings spawn_settings = {
    "spawn", rows, sizeof rows / sizeof rows[0], sizeof(struct spawn_conf)};
