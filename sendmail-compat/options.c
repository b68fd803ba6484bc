/* SPDX-License-Identifier: ISC */
/*
 * The options of sendmail(1) as callers use them: Postfix's and OpenSMTPD's sets together, values
 * attached or separate, options behind recipients. What has no meaning here (-m, -n, -U, -L, -p,
 * -X, most of -o and -O) is accepted and does nothing, because scripts pass it; what is no option
 * at all is a usage error.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sendmail-compat/sendmail.h"

#define OPTION_STRING "A:B:C:F:GIL:N:O:R:UV:X:b:cd::e:f:h:ijmno:p:r:q::tvx"

static int
complain_value(const struct options *o, char option, const char *value)
{
	fprintf(
	    stderr, "%s: fatal: option -%c: unsupported value \"%s\"\n", o->name, option, value);
	return -1;
}

static int
set_mode(struct options *o, const char *value)
{
	static const struct {
		char letter;
		enum mode mode;
	} modes[] = {
	    {'m', MODE_DELIVER},
	    {'s', MODE_SMTP   },
	    {'p', MODE_LIST   },
	    {'i', MODE_ALIASES},
	    {'v', MODE_VERIFY },
	    {'V', MODE_VERSION},
	    {'h', MODE_DELIVER},
	};

	for (size_t i = 0; i < NELEM(modes); i++)
		if (value[0] == modes[i].letter && value[1] == '\0') {
			o->mode = modes[i].mode;
			return 0;
		}
	if (value[0] == 'd' || value[0] == 'D' || value[0] == 'l')
		fprintf(stderr, "%s: fatal: the daemon is started by kingpost start\n", o->name);
	else
		complain_value(o, 'b', value);
	return -1;
}

static int
set_notify(struct options *o, const char *value)
{
	static const struct {
		const char *word;
		uint64_t bit;
	} words[] = {
	    {"success", NOTIFY_SUCCESS},
            {"failure", NOTIFY_FAILURE},
            {"delay",   NOTIFY_DELAY  },
	    {"never",   NOTIFY_NEVER  }
        };
	struct str rest = str_from(value), word;

	o->notify = 0;
	while (str_word(&rest, ", \t", &word)) {
		uint64_t bit = 0;
		for (size_t i = 0; i < NELEM(words); i++)
			if (str_caseis(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0)
			return complain_value(o, 'N', value);
		o->notify |= bit;
	}
	if (o->notify == 0 || (o->notify & NOTIFY_NEVER && o->notify != NOTIFY_NEVER))
		return complain_value(o, 'N', value);
	return 0;
}

static int
set_ret(struct options *o, const char *value)
{
	if (strcasecmp(value, "full") == 0)
		o->ret = RET_FULL;
	else if (strcasecmp(value, "hdrs") == 0 || strcasecmp(value, "headers") == 0)
		o->ret = RET_HDRS;
	else
		return complain_value(o, 'R', value);
	return 0;
}

/* -o: i is -i, all else concerns how other mailers queue and report errors. */
static void
set_old_option(struct options *o, const char *value)
{
	if (value[0] == 'i' && value[1] == '\0')
		o->ignore_dots = true;
}

static int
set_queue(struct options *o, const char *value)
{
	o->mode = MODE_FLUSH;
	if (value == NULL)
		return 0;
	if (value[0] == 'I')
		o->flush_id = value + 1;
	/* -q30m is a daemon's interval, -qR and -qS choose by address: a whole run serves both */
	return 0;
}

static int
set_option(struct options *o, int c, const char *value)
{
	switch (c) {
	case 'b':
		return set_mode(o, value);
	case 'I':
		o->mode = MODE_ALIASES;
		return 0;
	case 'N':
		return set_notify(o, value);
	case 'R':
		return set_ret(o, value);
	case 'V':
		o->envid = value;
		return 0;
	case 'q':
		return set_queue(o, value);
	case 'o':
		set_old_option(o, value);
		return 0;
	case 'f':
	case 'r':
		o->sender = value;
		return 0;
	case 'F':
		o->full_name = value;
		return 0;
	case 'B':
		o->eight_bit = strcasecmp(value, "8BITMIME") == 0;
		return 0;
	case 'O':
		o->utf8 = o->utf8 || strcasecmp(value, "SMTPUTF8") == 0;
		return 0;
	case 'i':
		o->ignore_dots = true;
		return 0;
	case 't':
		o->from_headers = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'd':
		if (value != NULL && value[0] == '0')
			o->mode = MODE_VERSION;
		return 0;
	case '?':
		return -1; /* getopt has said why */
	default:
		return 0; /* accepted, without meaning here */
	}
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){
	    .name = argc > 0 && argv[0][0] != '\0' ? base_name(argv[0]) : "sendmail"};
	if (strcmp(o->name, "mailq") == 0)
		o->mode = MODE_LIST;
	if (strcmp(o->name, "newaliases") == 0)
		o->mode = MODE_ALIASES;
	for (int c; (c = getopt(argc, argv, OPTION_STRING)) != -1;)
		if (set_option(o, c, optarg) == -1)
			return -1;
	o->recipients = argv + optind;
	o->nrecipients = argc - optind;
	return 0;
}
