/* SPDX-License-Identifier: ISC */
/*
 * Protocols and connections of tables that others answer for. The parser never trusts a length that
 * it has read before it has checked it against the limit.
 */
#include "lib/table/remote.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/table.h"
#include "lib/table/type.h"

enum { READ_SIZE = 4096, LENGTH_DIGITS = 6, SPEC_MAX = 1000 };

/* --- how they are written --- */

bool
remote_is(struct str spec)
{
	return str_starts(spec, STR("tcp:")) || str_starts(spec, STR("socketmap:"));
}

/* "host:port", the host perhaps in brackets. */
static bool
is_host_port(struct str place)
{
	ptrdiff_t colon = str_rchr(place, ':');
	uint64_t port;

	return colon > 0 && place.n < 300 && memchr(place.p, '\0', place.n) == NULL &&
	       str_u64(str_from_at(place, (size_t)colon + 1), 65535, &port) && port > 0;
}

static int
malformed(struct remote *r, const char *form, struct why *why)
{
	why_perm(why, NULL, "%s: expected %s", r->spec, form);
	remote_clear(r);
	return -1;
}

static int
parse_socketmap(struct remote *r, struct str rest, struct why *why)
{
	static const char form[] =
	    "socketmap:inet:host:port:name or socketmap:unix:/path:name, without blanks";
	ptrdiff_t colon = str_rchr(rest, ':');
	bool is_inet = str_starts(rest, STR("inet:"));

	r->is_unix = str_starts(rest, STR("unix:"));
	if ((!is_inet && !r->is_unix) || colon < (ptrdiff_t)sizeof "inet:" - 1)
		return malformed(r, form, why);
	struct str place = str_sub(rest, sizeof "inet:" - 1, (size_t)colon - (sizeof "inet:" - 1));
	struct str name = str_from_at(rest, (size_t)colon + 1);
	struct str no_blank = name, word;
	if (!str_word(&no_blank, " \t", &word) || word.n != name.n ||
	    (r->is_unix ? place.n < 2 || place.p[0] != '/' : !is_host_port(place)))
		return malformed(r, form, why);
	r->place = str_dup(place);
	r->name = str_dup(name);
	return 0;
}

int
remote_parse(struct remote *r, struct str spec, struct why *why)
{
	*r = (struct remote){.spec = str_dup(str_sub(spec, 0, SPEC_MAX))};
	if (spec.n > SPEC_MAX)
		return malformed(r, "a shorter name", why);
	if (str_starts(spec, STR("socketmap:"))) {
		r->kind = REMOTE_SOCKETMAP;
		return parse_socketmap(r, str_from_at(spec, sizeof "socketmap:" - 1), why);
	}
	struct str place = str_from_at(spec, sizeof "tcp:" - 1);
	if (!str_starts(spec, STR("tcp:")) || !is_host_port(place))
		return malformed(r, "tcp:host:port", why);
	r->kind = REMOTE_TCP;
	r->place = str_dup(place);
	r->name = xstrdup("");
	return 0;
}

void
remote_clear(struct remote *r)
{
	free(r->spec);
	free(r->place);
	free(r->name);
	*r = (struct remote){0};
}

/* --- questions --- */

int
remote_request(const struct remote *r, struct str key, struct buf *out)
{
	if (key.n == 0)
		return -1;
	if (r->kind == REMOTE_SOCKETMAP) {
		size_t n = size_add(strlen(r->name) + 1, key.n);
		return n <= REMOTE_QUERY_MAX
			   ? buf_printf(out, "%zu:%s %.*s,", n, r->name, STR_ARG(key))
			   : -1;
	}
	if (key.n > REMOTE_QUERY_MAX / 3 || buf_puts(out, "get ") == -1)
		return -1;
	for (size_t i = 0; i < key.n; i++) {
		unsigned char c = (unsigned char)key.p[i];
		int rc = c > ' ' && c < 0x7f && c != '%' ? buf_byte(out, (char)c)
							 : buf_printf(out, "%%%02X", c);
		if (rc == -1)
			return -1;
	}
	return buf_byte(out, '\n');
}

/* --- answers --- */

static int
no_reply(const struct remote *r, const char *what, struct why *why)
{
	return why_temp(why, "4.3.0", "table %s: %s", r->spec, what);
}

/* A value that is text of one line. */
static int
take_value(const struct remote *r, struct buf *out, struct why *why)
{
	if (out->n == 0)
		return why_temp(why, "4.3.0", "table %s: an empty value", r->spec);
	for (size_t i = 0; i < out->n; i++) {
		unsigned char c = (unsigned char)out->p[i];
		if ((c >= ' ' && c != 0x7f) || c == '\t')
			continue;
		buf_reset(out);
		return why_temp(why, "4.3.0", "table %s: control characters in a value", r->spec);
	}
	return TABLE_FOUND;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
unquote(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '%') {
			int high = text.n - i > 2 ? hex_digit(text.p[i + 1]) : -1;
			int low = text.n - i > 2 ? hex_digit(text.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (buf_byte(out, c) == -1)
			return -1;
	}
	return 0;
}

static int
tcp_reply(const struct remote *r, struct str in, int *answer, size_t *used, struct buf *out,
    struct why *why)
{
	ptrdiff_t lf = str_chr(in, '\n');

	if (lf < 0)
		return in.n > REMOTE_REPLY_MAX ? no_reply(r, "an endless reply", why) : 0;
	struct str line = str_sub(in, 0, (size_t)lf);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	struct str code = str_sub(line, 0, 3), text = str_from_at(line, 4);
	if (line.n > REMOTE_REPLY_MAX || (line.n > 3 && line.p[3] != ' '))
		return no_reply(r, "malformed reply", why);
	*used = (size_t)lf + 1;
	if (str_is(code, "500")) {
		*answer = TABLE_NONE;
	} else if (str_is(code, "400")) {
		*answer = why_temp(
		    why, "4.3.0", "table %s: %.*s", r->spec, STR_ARG(str_sub(text, 0, 200)));
	} else if (!str_is(code, "200") || unquote(text, out) == -1) {
		buf_reset(out);
		return no_reply(r, "malformed reply", why);
	} else {
		*answer = take_value(r, out, why);
	}
	return 1;
}

/* "length:", a number of no more digits than the largest reply has. */
static int
netstring_head(struct str in, size_t *length, size_t *head)
{
	ptrdiff_t colon = str_chr(str_sub(in, 0, LENGTH_DIGITS + 1), ':');
	uint64_t n;

	for (size_t i = 0; colon < 0 && i < in.n; i++)
		if (in.p[i] < '0' || in.p[i] > '9' || i >= LENGTH_DIGITS)
			return -1;
	if (colon < 0)
		return 0;
	if (!str_u64(str_sub(in, 0, (size_t)colon), REMOTE_REPLY_MAX, &n) ||
	    (colon > 1 && in.p[0] == '0'))
		return -1;
	*length = (size_t)n;
	*head = (size_t)colon + 1;
	return 1;
}

static int
socketmap_answer(
    const struct remote *r, struct str reply, int *answer, struct buf *out, struct why *why)
{
	static const char *const faults[] = {"TEMP", "TIMEOUT", "PERM"};
	ptrdiff_t blank = str_chr(reply, ' ');
	struct str status = blank < 0 ? reply : str_sub(reply, 0, (size_t)blank);
	struct str text = blank < 0 ? STR_EMPTY : str_from_at(reply, (size_t)blank + 1);

	if (str_is(status, "NOTFOUND")) {
		*answer = TABLE_NONE;
		return 1;
	}
	if (str_is(status, "OK")) {
		*answer = buf_str(out, text) == -1
			      ? why_temp(why, "4.3.0", "table %s: a value is too long", r->spec)
			      : take_value(r, out, why);
		return 1;
	}
	for (size_t i = 0; i < NELEM(faults); i++) {
		if (!str_is(status, faults[i]))
			continue;
		*answer = why_temp(why, "4.3.0", "table %s: %s %.*s", r->spec, faults[i],
		    STR_ARG(str_sub(text, 0, 200)));
		return 1;
	}
	return no_reply(r, "malformed reply", why);
}

static int
socketmap_reply(const struct remote *r, struct str in, int *answer, size_t *used, struct buf *out,
    struct why *why)
{
	size_t length, head;
	int got = netstring_head(in, &length, &head);

	if (got == -1)
		return no_reply(r, "malformed or too long a reply", why);
	if (got == 0 || in.n - head <= length)
		return 0;
	if (in.p[head + length] != ',')
		return no_reply(r, "malformed reply", why);
	*used = head + length + 1;
	return socketmap_answer(r, str_sub(in, head, length), answer, out, why);
}

int
remote_reply(const struct remote *r, struct str in, int *answer, size_t *used, struct buf *out,
    struct why *why)
{
	buf_reset(out);
	return r->kind == REMOTE_TCP ? tcp_reply(r, in, answer, used, out, why)
				     : socketmap_reply(r, in, answer, used, out, why);
}

/* --- connections --- */

/* 1: ready; 0: the deadline has passed; -1: errno. */
static int
wait_for(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int64_t left = deadline - clock_ms();
		int n = left > 0 ? poll(&p, 1, left < 3600000 ? (int)left : 3600000) : 0;
		if (n == -1 && errno == EINTR)
			continue;
		return n;
	}
}

static int
connect_to(int family, const void *address, socklen_t n, int64_t deadline)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t size = sizeof error;

	if (fd == -1)
		return -1;
	if (connect(fd, address, n) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		int ready = wait_for(fd, POLLOUT, deadline);
		if (ready == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
		    error == 0)
			return fd;
		errno = ready == 0 ? ETIMEDOUT : ready == 1 ? error : errno;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int
connect_inet(const struct remote *r, int64_t deadline, struct why *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	char host[300];
	struct str place = str_from(r->place);
	size_t colon = (size_t)str_rchr(place, ':'); /* remote_parse() has seen it */
	struct str name = str_sub(place, 0, colon);
	int fd = -1;

	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = str_sub(name, 1, name.n - 2);
	if (!str_copy(host, sizeof host, name))
		return no_reply(r, "the host's name is too long", why);
	int rc = getaddrinfo(host, r->place + colon + 1, &hints, &list);
	if (rc != 0)
		return why_temp(why, "4.3.0", "table %s: %s: %s", r->spec, host, gai_strerror(rc));
	for (const struct addrinfo *a = list; a != NULL && fd == -1; a = a->ai_next)
		fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen, deadline);
	freeaddrinfo(list);
	return fd != -1 ? fd : why_sys(why, "4.3.0", "table %s: connect", r->spec);
}

static int
connect_unix(const struct remote *r, int64_t deadline, struct why *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (!str_copy(sun.sun_path, sizeof sun.sun_path, str_from(r->place)))
		return no_reply(r, "the path is too long for a socket", why);
	int fd = connect_to(AF_UNIX, &sun, sizeof sun, deadline);
	return fd != -1 ? fd : why_sys(why, "4.3.0", "table %s: connect", r->spec);
}

int
remote_connect(const struct remote *r, int64_t deadline, struct why *why)
{
	return r->is_unix ? connect_unix(r, deadline, why) : connect_inet(r, deadline, why);
}

bool
remote_is_stale(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) != -1 ||
	       (errno != EAGAIN && errno != EINTR);
}

/* --- a question --- */

static int
lost(const struct remote *r, int ready, struct why *why)
{
	if (ready == 0)
		errno = ETIMEDOUT;
	return why_sys(why, "4.3.0", "table %s", r->spec);
}

static int
send_all(int fd, const struct remote *r, struct str text, int64_t deadline, struct why *why)
{
	while (text.n > 0) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN) {
			int ready = wait_for(fd, POLLOUT, deadline);
			if (ready != 1)
				return lost(r, ready, why);
		} else if (n == -1 && errno != EINTR) {
			return lost(r, -1, why);
		}
		text = str_from_at(text, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

/* 1: more came; 0: it was closed, or broke; -1: the deadline has passed. */
static int
receive(int fd, const struct remote *r, struct buf *in, int64_t deadline, struct why *why)
{
	char room[READ_SIZE];

	for (;;) {
		ssize_t n = recv(fd, room, sizeof room, 0);
		if (n > 0) {
			if (buf_add(in, room, (size_t)n) == -1)
				return no_reply(r, "an endless reply", why);
			return 1;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			if (n == 0)
				no_reply(r, "the connection was closed", why);
			else
				lost(r, -1, why);
			return 0;
		}
		int ready = wait_for(fd, POLLIN, deadline);
		if (ready != 1) {
			lost(r, ready, why);
			return -1;
		}
	}
}

static int
read_answer(int fd, const struct remote *r, int64_t deadline, struct buf *out, bool *usable,
    bool *silent, struct why *why)
{
	struct buf in;
	size_t used = 0;
	int answer = TABLE_ERROR, got = 0;

	buf_init(&in, REMOTE_REPLY_MAX + READ_SIZE + LENGTH_DIGITS + 2);
	while (got == 0) {
		int more = receive(fd, r, &in, deadline, why);
		if (more != 1) {
			*silent = more == 0 && in.n == 0;
			break;
		}
		got = remote_reply(r, buf_view(&in), &answer, &used, out, why);
	}
	*usable = got == 1 && used == in.n;
	buf_free(&in);
	return got == 1 ? answer : TABLE_ERROR;
}

int
remote_ask(int fd, const struct remote *r, struct str key, int64_t deadline, struct buf *out,
    bool *usable, bool *silent, struct why *why)
{
	struct buf request;
	int answer = TABLE_ERROR;

	*usable = *silent = false;
	buf_reset(out);
	buf_init(&request, REMOTE_QUERY_MAX + 64);
	if (remote_request(r, key, &request) == -1)
		no_reply(r, "the key is too long to be asked for", why);
	else if (send_all(fd, r, buf_view(&request), deadline, why) == -1)
		*silent = clock_ms() < deadline;
	else
		answer = read_answer(fd, r, deadline, out, usable, silent, why);
	buf_free(&request);
	return answer;
}

/* --- the table types --- */

enum { ALONE_MS = 10000 }; /* for commands, which have no settings */

static void *
load(const char *type, struct str name, struct why *why)
{
	struct remote *r = xcalloc(1, sizeof *r);
	char *spec = xasprintf("%s:%.*s", type, STR_ARG(name));
	int rc = remote_parse(r, str_from(spec), why);

	free(spec);
	if (rc == 0)
		return r;
	free(r);
	return NULL;
}

static void *
tcp_load(struct str name, KP_UNUSED const char *path, struct why *why)
{
	return load("tcp", name, why);
}

static void *
socketmap_load(struct str name, KP_UNUSED const char *path, struct why *why)
{
	return load("socketmap", name, why);
}

static int
remote_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	const struct remote *r = content;
	int64_t deadline = clock_ms() + ALONE_MS;
	bool usable, silent;
	int fd = remote_connect(r, deadline, why);

	if (fd == -1)
		return TABLE_ERROR;
	int answer = remote_ask(fd, r, key, deadline, out, &usable, &silent, why);
	close(fd);
	return answer;
}

static void
remote_free(void *content)
{
	remote_clear(content);
	free(content);
}

const struct table_type table_tcp = {
    "tcp", "", TABLE_REMOTE | TABLE_PATTERN, tcp_load, remote_lookup, remote_free};
const struct table_type table_socketmap = {
    "socketmap", "", TABLE_REMOTE | TABLE_PATTERN, socketmap_load, remote_lookup, remote_free};
