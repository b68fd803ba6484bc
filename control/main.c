/* SPDX-License-Identifier: ISC */
/*
 * kingpost: the operator's one command.
 *
 * Privilege: the caller's. What it may do decides the program that is asked, by who the caller is.
 * Hostile: nothing more than the caller can harm by himself; text of messages and tables is made
 * printable before it is shown.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"

static const struct command {
	const char *group, *name; /* `name` NULL: the group is the whole command */
	command_fn *run;
	const char *arguments, *help;
} commands[] = {
    {"start",   NULL,       cmd_start,         "[--foreground]",                             "start the suite, and wait until it is ready"              },
    {"stop",    NULL,       cmd_stop,          "",					   "stop it; what is under way may finish (stop_timeout)"     },
    {"reload",  NULL,       cmd_reload,        "",					   "take the configuration anew; a faulty one changes nothing"},
    {"status",  NULL,       cmd_status,        "[--json]",                                   "programs, uptime, restarts, counters"                     },
    {"check",   NULL,       cmd_check,         "[--relay]",                                  "find what would fail at run time"                         },
    {"conf",    NULL,       cmd_conf,          "[--changed] [--service NAME] [SETTING ...]",
     "show settings, and where a value comes from"												      },
    {"map",     "build",    cmd_map_build,     "FILE ...",                                   "build FILE.lmdb from the text of FILE"                    },
    {"map",     "query",    cmd_map_query,     "TYPE:NAME KEY",                              "ask a table"                                              },
    {"address", "test",     cmd_address_test,  "ADDRESS ...",                                "where mail to it goes, step by step"                      },
    {"block",   "list",     cmd_block_list,    "",					   "addresses, networks and accounts that are kept out"       },
    {"block",   "add",      cmd_block_add,     "ADDRESS|NETWORK|LOGIN [REASON]",             "keep out for block_time"                                  },
    {"block",   "remove",   cmd_block_remove,  "ADDRESS|NETWORK|LOGIN ...",                  "let in again"                                             },
    {"smtp",    "test",     cmd_smtp_test,     "--client IP --to ADDRESS [...]",
     "what a client would be told, rule by rule"													},
    {"account", "release",  cmd_account_act,   "LOGIN",
     "send what is held because LOGIN sent far too much"												},
    {"account", "purge",    cmd_account_act,   "LOGIN",                                      "delete it, without a notification"                        },
    {"queue",   "list",     cmd_queue_list,    "[--json] [FILTER ...] [ID ...]",             "what waits"                                               },
    {"queue",   "show",     cmd_queue_show,    "[--json] ID ...",                            "one message, with its recipients"                         },
    {"queue",   "cat",      cmd_queue_cat,     "ID",                                         "a message's envelope, history and content"                },
    {"queue",   "hold",     cmd_queue_act,     "ID ... | FILTER ... | --all",                "set aside"                                                },
    {"queue",   "release",  cmd_queue_act,     "ID ... | FILTER ... | --all",                "back from hold"                                           },
    {"queue",   "delete",   cmd_queue_act,     "ID ... | FILTER ... | --all",
     "remove without a notification"														    },
    {"queue",   "flush",    cmd_queue_act,     "[ID ... | FILTER ...]",                      "try now, within the limits"                               },
    {"queue",   "requeue",  cmd_queue_act,     "ID ... | FILTER ... | --all",
     "find the route anew and try now"														  },
    {"queue",   "expire",   cmd_queue_act,     "ID ... | FILTER ... | --all",                "return to the sender now"                                 },
    {"queue",   "fsck",     cmd_queue_fsck,    "",
     "check every message and make the index anew (while stopped)"										      },
    {"user",    "add",      cmd_user_add,      "[--scheme crypt|scram] NAME",
     "a new account; the password from the terminal or standard input"										  },
    {"user",    "passwd",   cmd_user_passwd,   "[--scheme crypt|scram] NAME",                "another password for it"                                  },
    {"user",    "list",     cmd_user_list,     "",					   "the accounts"                                             },
    {"user",    "delete",   cmd_user_delete,   "NAME",                                       "an account no more"                                       },
    {"verify",  "show",     cmd_verify_show,   "ADDRESS ...",                                "what address probes have found out"                       },
    {"verify",  "forget",   cmd_verify_forget, "ADDRESS ...",                                "have it probed anew"                                      },
    {"manual",  "settings", cmd_manual,        "",					   "the settings as a part of a manual page"                  },
};

static int
usage(void)
{
	fputs("usage: kingpost COMMAND\n\n", stderr);
	for (size_t i = 0; i < NELEM(commands); i++) {
		const struct command *c = &commands[i];
		char line[128];
		snprintf(line, sizeof line, "%s%s%s %s", c->group, c->name != NULL ? " " : "",
		    c->name != NULL ? c->name : "", c->arguments);
		fprintf(stderr, "  %-56s %s\n", line, c->help);
	}
	fputs("\nFILTER: --sender ADDRESS, --recipient ADDRESS or DOMAIN, --queue "
	      "active|deferred|hold|corrupt, --older AGE,\n"
	      "  --younger AGE, --reason TEXT, --limit N\n"
	      "smtp test: --client IP, --client-name NAME, --helo NAME, --from ADDRESS, --to "
	      "ADDRESS, "
	      "--sasl LOGIN, --service NAME\n",
	    stderr);
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	struct kingpost k;
	struct why why;

	log_open("kingpost");
	if (layout_find(&k.layout, &why) == -1)
		fatal("%s", why.text);
	settings_all_init(&k.all, &k.layout);
	if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
		printf("kingpost %s\n", KP_VERSION);
		return EX_OK;
	}
	for (size_t i = 0; argc > 1 && i < NELEM(commands); i++) {
		const struct command *c = &commands[i];
		int words = c->name != NULL ? 2 : 1;
		if (strcmp(argv[1], c->group) != 0 ||
		    (words == 2 && (argc < 3 || strcmp(argv[2], c->name) != 0)))
			continue;
		int status = c->run(&k, argc - words, argv + words);
		return status == EX_USAGE ? usage() : status;
	}
	return usage();
}
