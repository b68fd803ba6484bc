/* SPDX-License-Identifier: ISC */
/* Channels: requests and replies, descriptors, and what a peer that misbehaves brings upon itself.
 */
#include "lib/chan/chan.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/chan/loop.h"
#include "lib/chan/packet.h"
#include "tests/unit/test.h"

struct world {
	struct loop loop;
	struct chan *asker, *server;
	int raw; /* the server's peer, where the test itself is that */
	unsigned served, replies, gone, nulls;
	char last[64];
	int last_fd;
};

static char reported[256];

static void
keep_report(const char *peer, const char *text)
{
	(void)peer;
	snprintf(reported, sizeof reported, "%s", text);
}

static void
on_lookup(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct world *w = chan_owner(ch);
	struct msg_found reply = {.found = 1, .value = msg->lookup.key};

	w->served++;
	assert_int_equal(head->trace, 77);
	assert_int_equal(chan_reply(ch, head, MSG_FOUND, &reply), 0);
}

static void
on_expand(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct msg_expanded row = {.address = msg->expand.address};

	for (int i = 0; i < 3; i++)
		assert_int_equal(chan_reply(ch, head, MSG_EXPANDED, &row), 0);
	assert_int_equal(chan_done(ch, head, 3), 0);
}

static void
on_resource(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct world *w = chan_owner(ch);

	(void)head;
	w->last_fd = chan_take_fd(&msg->resource.file);
}

static const struct chan_rule rules[] = {
    {MSG_LOOKUP,   on_lookup  },
    {MSG_EXPAND,   on_expand  },
    {MSG_RESOURCE, on_resource},
    {MSG_NONE,     NULL       }
};

static void
on_server_gone(struct chan *ch, void *owner)
{
	struct world *w = owner;

	assert_ptr_equal(ch, w->server);
	w->server = NULL;
	w->gone++;
}

static void
on_asker_gone(struct chan *ch, void *owner)
{
	struct world *w = owner;

	(void)ch;
	w->asker = NULL;
	w->gone++;
}

static void
on_reply(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct world *w = arg;

	w->replies++;
	if (msg == NULL)
		w->nulls++;
	else if (head->type == MSG_FOUND)
		(void)str_copy(w->last, sizeof w->last, msg->found.value);
}

static int
set_up(void **state)
{
	static struct world w;
	int fds[2];

	w = (struct world){.raw = -1, .last_fd = -1};
	reported[0] = '\0';
	chan_set_reporter(keep_report);
	loop_init(&w.loop);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	w.asker = chan_new(&w.loop, fds[0], "asker", NULL, &w, on_asker_gone);
	w.server = chan_new(&w.loop, fds[1], "server", rules, &w, on_server_gone);
	*state = &w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	chan_close(&w->asker);
	chan_close(&w->server);
	if (w->raw != -1)
		close(w->raw);
	loop_clear(&w->loop);
	return 0;
}

/* The asker becomes the test itself. */
static void
speak_raw(struct world *w)
{
	int fds[2];

	chan_close(&w->asker);
	chan_close(&w->server);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	w->raw = fds[0];
	w->server = chan_new(&w->loop, fds[1], "server", rules, w, on_server_gone);
}

static void
turn(struct world *w, int rounds)
{
	for (int i = 0; i < rounds; i++)
		loop_round(&w->loop, false);
}

static uint32_t
look_up(struct world *w, const char *key)
{
	struct msg_lookup msg = {.maps = STR("alias_maps"), .key = str_from(key)};

	return chan_call(w->asker, 77, MSG_LOOKUP, &msg, on_reply, w);
}

static void
a_request_gets_its_reply(void **state)
{
	struct world *w = *state;

	assert_int_not_equal(look_up(w, "postmaster"), 0);
	turn(w, 5);
	assert_int_equal(w->replies, 1);
	assert_string_equal(w->last, "postmaster");
}

static void
a_round_s_messages_leave_together(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 100; i++)
		assert_int_not_equal(look_up(w, "x"), 0);
	assert_int_equal(w->served, 0);
	turn(w, 5);
	assert_int_equal(w->served, 100);
	assert_int_equal(w->replies, 100);
}

static void
rows_come_before_the_end(void **state)
{
	struct world *w = *state;
	struct msg_expand msg = {.address = STR("list")};

	assert_int_not_equal(chan_call(w->asker, 0, MSG_EXPAND, &msg, on_reply, w), 0);
	turn(w, 5);
	assert_int_equal(w->replies, 4);
}

static void
a_forgotten_request_stays_silent(void **state)
{
	struct world *w = *state;

	chan_forget(w->asker, look_up(w, "x"));
	uint32_t second = look_up(w, "y");
	assert_int_not_equal(second, 0);
	turn(w, 5);
	assert_int_equal(w->served, 2);
	assert_int_equal(w->replies, 1);
	assert_string_equal(w->last, "y");
}

static void
a_dead_peer_answers_every_request_once(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 40; i++)
		assert_int_not_equal(look_up(w, "x"), 0);
	chan_close(&w->server);
	turn(w, 5);
	assert_int_equal(w->replies, 40);
	assert_int_equal(w->nulls, 40);
	assert_int_equal(w->gone, 1);
	assert_null(w->asker);
}

static void
a_descriptor_travels(void **state)
{
	struct world *w = *state;
	int pipe_fds[2];
	char byte;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	struct msg_resource msg = {.name = STR("pipe"), .file = pipe_fds[1]};
	assert_int_equal(chan_send(w->asker, 0, 0, MSG_RESOURCE, &msg), 0);
	close(pipe_fds[1]);
	turn(w, 3);
	assert_int_not_equal(w->last_fd, -1);
	assert_int_equal(write(w->last_fd, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	close(w->last_fd);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* no copy was left open */
	close(pipe_fds[0]);
}

static void
a_message_over_its_bounds_is_not_sent(void **state)
{
	struct world *w = *state;
	char key[MSG_ADDRESS_MAX + 2];

	memset(key, 'x', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	assert_int_equal(look_up(w, key), 0);
	assert_int_not_equal(look_up(w, "fine"), 0);
	turn(w, 5);
	assert_int_equal(w->served, 1);
}

static void
what_is_not_served_closes_the_channel(void **state)
{
	struct world *w = *state;
	struct msg_stop msg = {0};

	assert_int_equal(chan_send(w->asker, 0, 0, MSG_STOP, &msg), 0);
	turn(w, 5);
	assert_null(w->server);
	assert_string_equal(reported, "message stop is not served here");
}

static void
rubbish_closes_the_channel(void **state)
{
	static const char rubbish[][28] = {
	    "x", "\x02 another version", "\x01\x00\xff\xff no such type", "\x01\x07"};
	struct world *w = *state;

	for (size_t i = 0; i < NELEM(rubbish); i++) {
		speak_raw(w);
		w->gone = 0;
		assert_true(send(w->raw, rubbish[i], i == 0 ? 1 : sizeof rubbish[i], 0) > 0);
		turn(w, 4);
		assert_int_equal(w->gone, 1);
		close(w->raw);
		w->raw = -1;
		reported[0] = '\0';
	}
	assert_int_equal(w->served, 0);
}

static void
a_descriptor_nobody_asked_for_closes_the_channel(void **state)
{
	struct world *w = *state;
	struct packet p = {.bytes = {.max = PACKET_MAX}};
	struct chan_head head = {1, 77, MSG_LOOKUP};
	struct msg_lookup msg = {.maps = STR("m"), .key = STR("k")};
	bool full;

	speak_raw(w);
	assert_int_equal(packet_add(&p, &head, false, &msg, &full, NULL), 0);
	p.fds[p.nfds++] = dup(STDOUT_FILENO);
	assert_int_equal(packet_send(w->raw, &p), 0);
	packet_reset(&p);
	buf_free(&p.bytes);
	turn(w, 4);
	assert_null(w->server);
}

static void
a_reply_to_nothing_is_passed_over(void **state)
{
	struct world *w = *state;
	struct chan_head head = {.id = 12345};

	assert_int_equal(chan_done(w->asker, &head, 0), 0);
	turn(w, 3);
	assert_non_null(w->server);
}

static void
a_client_waits_and_gives_up(void **state)
{
	int fds[2];
	struct chan_head head;
	union msg_any *msg;
	struct why why;

	(void)state;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	struct chan_client *c = chan_client_new(fds[0]);
	assert_int_equal(chan_client_receive(c, 10, &head, &msg, &why), -1);
	assert_int_equal(why.class, WHY_TEMP);
	close(fds[1]);
	assert_int_equal(chan_client_receive(c, 10, &head, &msg, &why), 0);
	chan_client_free(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_request_gets_its_reply),
	    TEST(a_round_s_messages_leave_together),
	    TEST(rows_come_before_the_end),
	    TEST(a_forgotten_request_stays_silent),
	    TEST(a_dead_peer_answers_every_request_once),
	    TEST(a_descriptor_travels),
	    TEST(a_message_over_its_bounds_is_not_sent),
	    TEST(what_is_not_served_closes_the_channel),
	    TEST(rubbish_closes_the_channel),
	    TEST(a_descriptor_nobody_asked_for_closes_the_channel),
	    TEST(a_reply_to_nothing_is_passed_over),
	    TEST(a_client_waits_and_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
