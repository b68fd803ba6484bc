/* SPDX-License-Identifier: ISC */
/*
 * XCLIENT and XFORWARD. Both take attributes in xtext; a table names them and the functions that
 * check and keep the values, into a copy first: a command with a fault changes nothing. After
 * XCLIENT the session is judged as if the named client had just connected.
 */
#include "smtpd/forward.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/networks.h"
#include "smtpd/auth.h"
#include "smtpd/command.h"
#include "smtpd/envelope.h"
#include "smtpd/limits.h"
#include "smtpd/session.h"

enum { VALUE_MAX = 255 };

/* What one command says. An empty string with its flag set: unavailable. */
struct said {
	struct forward f;
	char login[256];
	struct sockaddr_storage sa;
	bool name, addr, port, helo, proto, login_said;
};

typedef bool attribute_fn(struct said *said, struct str value);

static bool
is_unavailable(struct str value)
{
	return str_caseis(value, "[UNAVAILABLE]") || str_caseis(value, "[TEMPUNAVAIL]");
}

static bool
printable(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] <= ' ' || value.p[i] > '~')
			return false;
	return true;
}

/* Text, or "" where it is unavailable. */
static bool
keep(char *to, size_t size, struct str value)
{
	if (is_unavailable(value))
		value = STR_EMPTY;
	return printable(value) && str_copy(to, size, value);
}

static bool
set_name(struct said *said, struct str value)
{
	said->name = true;
	return keep(said->f.name, sizeof said->f.name, value);
}

/* "192.0.2.1" or "IPV6:2001:db8::1" */
static bool
set_addr(struct said *said, struct str value)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&said->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&said->sa;

	said->addr = true;
	if (is_unavailable(value))
		return true;
	if (str_casestarts(value, STR("IPV6:"))) {
		in6->sin6_family = AF_INET6;
		return str_copy(said->f.addr, sizeof said->f.addr, str_from_at(value, 5)) &&
		       inet_pton(AF_INET6, said->f.addr, &in6->sin6_addr) == 1;
	}
	in4->sin_family = AF_INET;
	if (!str_copy(said->f.addr, sizeof said->f.addr, value))
		return false;
	if (inet_pton(AF_INET, said->f.addr, &in4->sin_addr) == 1)
		return true;
	in6->sin6_family = AF_INET6;
	return inet_pton(AF_INET6, said->f.addr, &in6->sin6_addr) == 1;
}

static bool
set_port(struct said *said, struct str value)
{
	uint64_t port = 0;

	said->port = true;
	if (!is_unavailable(value) && !str_u64(value, 65535, &port))
		return false;
	said->f.port = (uint16_t)port;
	return true;
}

static bool
set_helo(struct said *said, struct str value)
{
	said->helo = true;
	return keep(said->f.helo, sizeof said->f.helo, value);
}

static bool
set_proto(struct said *said, struct str value)
{
	said->proto = true;
	return keep(said->f.proto, sizeof said->f.proto, value) &&
	       (is_unavailable(value) || str_caseis(value, "SMTP") || str_caseis(value, "ESMTP"));
}

static bool
set_login(struct said *said, struct str value)
{
	said->login_said = true;
	return keep(said->login, sizeof said->login, value);
}

static bool
set_ident(struct said *said, struct str value)
{
	return keep(said->f.ident, sizeof said->f.ident, value);
}

static bool
set_source(struct said *said, struct str value)
{
	return keep(said->f.source, sizeof said->f.source, value) &&
	       (is_unavailable(value) || str_caseis(value, "LOCAL") || str_caseis(value, "REMOTE"));
}

/* Our own address as the proxy saw it: checked, and of no further use. */
static bool
set_dest_addr(struct said *said, struct str value)
{
	struct said scratch = {0};

	(void)said;
	return set_addr(&scratch, value);
}

static bool
set_dest_port(struct said *said, struct str value)
{
	struct said scratch = {0};

	(void)said;
	return set_port(&scratch, value);
}

enum { X_CLIENT = 1, X_FORWARD = 2 };

static const struct {
	const char *name;
	unsigned commands;
	attribute_fn *set;
} attributes[] = {
    {"NAME",     X_CLIENT | X_FORWARD, set_name     },
    {"ADDR",     X_CLIENT | X_FORWARD, set_addr     },
    {"PORT",     X_CLIENT | X_FORWARD, set_port     },
    {"PROTO",    X_CLIENT | X_FORWARD, set_proto    },
    {"HELO",     X_CLIENT | X_FORWARD, set_helo     },
    {"LOGIN",    X_CLIENT,             set_login    },
    {"DESTADDR", X_CLIENT,             set_dest_addr},
    {"DESTPORT", X_CLIENT,             set_dest_port},
    {"IDENT",    X_FORWARD,            set_ident    },
    {"SOURCE",   X_FORWARD,            set_source   },
};

static bool
take_attribute(struct said *said, struct str word, unsigned command)
{
	ptrdiff_t is = str_chr(word, '=');
	struct buf value;
	bool good = false;

	if (is <= 0)
		return false;
	buf_init(&value, VALUE_MAX);
	if (xtext_decode(str_from_at(word, (size_t)is + 1), &value) == 0 && value.n > 0)
		for (size_t i = 0; i < NELEM(attributes); i++)
			if ((attributes[i].commands & command) != 0 &&
			    str_caseis(str_sub(word, 0, (size_t)is), attributes[i].name))
				good = attributes[i].set(said, buf_view(&value));
	buf_free(&value);
	return good;
}

/* All of them into `said`; false after a reply. */
static bool
take_attributes(struct session *s, struct str argument, unsigned command, struct said *said)
{
	struct str word;
	bool any = false;

	*said = (struct said){0};
	while (str_word(&argument, " ", &word)) {
		any = true;
		if (!take_attribute(said, word, command)) {
			session_reply(s, 501, "5.5.4", "Bad %s attribute: %.*s", s->command->verb,
			    (int)(word.n < 60 ? word.n : 60), word.p);
			return false;
		}
	}
	if (!any)
		session_reply(s, 501, "5.5.4", "Syntax: %s attribute=value...", s->command->verb);
	return any;
}

/* --- XCLIENT --- */

static void
replace(char **text, const char *value)
{
	free(*text);
	*text = value[0] != '\0' ? xstrdup(value) : NULL;
}

static void
become(struct session *s, const struct said *said)
{
	if (said->addr) {
		str_copy(s->client_addr, sizeof s->client_addr,
		    said->f.addr[0] != '\0' ? str_from(said->f.addr) : STR("unknown"));
		s->trusted =
		    said->f.addr[0] != '\0' && networks_match(&s->server->trusted, &said->sa);
		s->exempt =
		    said->f.addr[0] != '\0' && networks_match(&s->server->exempt, &said->sa);
	}
	if (said->name)
		replace(&s->client_name, said->f.name[0] != '\0' ? said->f.name : "unknown");
	if (said->port)
		s->client_port = said->f.port;
	if (said->helo)
		replace(&s->helo, said->f.helo);
	if (said->proto)
		s->esmtp = strcasecmp(said->f.proto, "ESMTP") == 0;
	if (said->login_said) {
		auth_reset(s);
		if (said->login[0] != '\0') {
			s->login = xstrdup(said->login);
			s->sasl_method = xstrdup("XCLIENT");
		}
	}
}

void
cmd_xclient(struct session *s, struct str argument)
{
	struct said said;

	if (forward_xclient_line(s) == NULL) {
		session_reply(s, 550, "5.7.0", "Error: insufficient authorization");
		return;
	}
	if (!take_attributes(s, argument, X_CLIENT, &said))
		return;
	transaction_free(&s->tx);
	limits_gone(s);
	become(s, &said);
	free(s->screened);
	s->screened = NULL;
	session_enter(s, ST_CONNECT);
	session_greet_again(s);
}

/* --- XFORWARD --- */

void
cmd_xforward(struct session *s, struct str argument)
{
	struct said said;

	if (forward_xforward_line(s) == NULL) {
		session_reply(s, 550, "5.7.0", "Error: insufficient authorization");
		return;
	}
	if (!take_attributes(s, argument, X_FORWARD, &said))
		return;
	if (s->forward == NULL)
		s->forward = xcalloc(1, sizeof *s->forward);
	*s->forward = said.f;
	session_reply(s, 250, "2.0.0", "Ok");
}

const char *
forward_xclient_line(const struct session *s)
{
	return s->may_xclient ? "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" : NULL;
}

const char *
forward_xforward_line(const struct session *s)
{
	return s->may_xforward ? "XFORWARD NAME ADDR PROTO HELO PORT IDENT SOURCE" : NULL;
}
