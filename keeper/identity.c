/* SPDX-License-Identifier: ISC */
/*
 * A set is what one list of files holds. keeper opens nothing: master opens each file for it, one
 * after the other, and when all have been read the set is sorted and compared. So a pair of files
 * that is being replaced is seen half done at most once, as a broken one.
 *
 * A file of authorities is a set without keys; who asks for one never gets anything but the
 * certificates in it.
 *
 * Keys are found by number. One that a new set has taken the place of signs on for KEEP_MS:
 * handshakes and names that smtpd keeps may still refer to it.
 */
#include "keeper/identity.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "lib/tls/pem.h"
#include "keeper/sign.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"

enum {
	SETS_MAX = 20000,
	PATHS_MAX = 16,
	FILE_MAX = 256 * 1024,
	AUTHORITIES_MAX = 4 * 1024 * 1024,
	KEEP_MS = 10 * 60 * 1000,
	WARN_DAYS = 14,
	WARN_AGAIN_MS = 24 * 3600 * 1000,
	DAY_S = 24 * 3600,
	DIGEST_SIZE = 32,
};

/* Who waits for a set. */
struct asker {
	struct chan *ch;
	struct chan_head head;
	TAILQ_ENTRY(asker) link;
};

struct set {
	struct identities *all;
	char *key;                       /* in the map */
	char *files;                     /* as asked for */
	struct pem_keys keys;            /* none: it has never been good */
	bool authorities;                /* it has no keys: certificates of authorities, ... */
	struct buf certificates;         /* ... as PEM text; none: as above */
	struct why failure;              /* of the last reading; class WHY_NONE: none */
	unsigned char seen[DIGEST_SIZE]; /* of what was read last */
	bool read;                       /* there is such */
	bool due;                        /* to be read in the round under way */
	bool wanted;                     /* asked for since the last reload */
	int64_t warned;                  /* of its expiry; 0: not yet */
	struct load *load;
	TAILQ_HEAD(, asker) askers;
	TAILQ_ENTRY(set) link;
};

/* A reading under way. */
struct load {
	struct set *set;
	struct str rest; /* of set->files */
	char *path;      /* that master is opening */
	struct pem *pem;
	struct buf certificates; /* in its place, of authorities */
	EVP_MD_CTX *digest;
	struct why failure;
	bool round; /* part of a round */
};

/* A key that some set has, or had until a moment ago. */
struct held {
	EVP_PKEY *key;
	unsigned holders;
};

struct retired {
	struct pem_keys keys;
	int64_t until;
	TAILQ_ENTRY(retired) link;
};

struct identities {
	struct keeper *k;
	struct event *ev;
	struct map *sets; /* by list of files; those of authorities behind "ca:" */
	struct map *keys; /* struct held by number */
	TAILQ_HEAD(, set) list;
	TAILQ_HEAD(, retired) retired;
	bool changed;     /* in the round under way */
	int64_t reloaded; /* sets that nobody asks for any more go a while after; 0: they have */
};

static void read_next(struct load *load);
static void round_go_on(struct identities *all);

/* --- keys by number --- */

static struct str
number_key(const uint64_t *number)
{
	return str_make((const char *)number, sizeof *number);
}

static void
hold(struct identities *all, const struct pem_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		const struct pem_key *key = &keys->items[i];
		struct held *held = map_get(all->keys, number_key(&key->number));
		if (held == NULL) {
			held = xcalloc(1, sizeof *held);
			held->key = key->key;
			EVP_PKEY_up_ref(key->key);
			map_put(all->keys, number_key(&key->number), held);
		}
		held->holders++;
	}
}

static void
let_go(struct identities *all, struct pem_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		struct str number = number_key(&keys->items[i].number);
		struct held *held = map_get(all->keys, number);
		if (held == NULL || --held->holders > 0)
			continue;
		map_take(all->keys, number);
		EVP_PKEY_free(held->key);
		free(held);
	}
	pem_keys_clear(keys);
}

static void
retire(struct identities *all, struct pem_keys *keys)
{
	if (keys->n == 0)
		return;
	struct retired *r = xcalloc(1, sizeof *r);
	*r = (struct retired){.keys = *keys, .until = clock_ms() + KEEP_MS};
	*keys = (struct pem_keys){0};
	TAILQ_INSERT_TAIL(&all->retired, r, link);
}

static void
forget_retired(struct identities *all)
{
	struct retired *r;

	while ((r = TAILQ_FIRST(&all->retired)) != NULL && r->until <= clock_ms()) {
		TAILQ_REMOVE(&all->retired, r, link);
		let_go(all, &r->keys);
		free(r);
	}
}

void
on_sign(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct identities *all = keeper_of(ch)->identities;
	const struct msg_sign *m = &msg->sign;
	struct held *held = map_get(all->keys, number_key(&m->key));
	struct buf out;
	struct why why;
	int rc;

	buf_init(&out, 2048);
	rc = held != NULL ? sign(held->key, (unsigned)m->scheme, m->input, &out, &why)
			  : why_temp(&why, NULL, "there is no key of that number");
	struct msg_signature reply = {.signature = buf_view(&out)};
	if (rc == 0)
		chan_reply(ch, head, MSG_SIGNATURE, &reply);
	else
		chan_refuse(ch, head, &why);
	buf_free(&out);
	metric_add(METRIC_SIGNATURES, 1);
}

/* --- expiry --- */

static int64_t
days_left(const struct set *set)
{
	int64_t first = INT64_MAX, now = wall_us() / 1000000;

	for (size_t i = 0; i < set->keys.n; i++)
		if (set->keys.items[i].expires < first)
			first = set->keys.items[i].expires;
	return first <= now ? 0 : (first - now) / DAY_S;
}

static void
warn_of_expiry(struct set *set, int64_t days)
{
	int64_t now = clock_ms();

	if (days >= WARN_DAYS || (set->warned != 0 && now - set->warned < WARN_AGAIN_MS))
		return;
	set->warned = now;
	if (days == 0)
		log_warning("%s: the certificate has expired, or does today", set->files);
	else
		log_warning(
		    "%s: the certificate expires in %lld days", set->files, (long long)days);
}

static void
look_at_expiry(struct identities *all)
{
	struct set *set;
	int64_t least = INT64_MAX, n = 0;

	TAILQ_FOREACH (set, &all->list, link) {
		if (set->keys.n == 0)
			continue;
		int64_t days = days_left(set);
		warn_of_expiry(set, days);
		n += (int64_t)set->keys.n;
		if (days < least)
			least = days;
	}
	metric_set(METRIC_CERTIFICATES, (uint64_t)n);
	metric_set(METRIC_CERTIFICATE_EXPIRY, n > 0 ? (uint64_t)least : 0);
}

/* --- answers --- */

static bool
is_good(const struct set *set)
{
	return set->authorities ? set->certificates.n > 0 : set->keys.n > 0;
}

static void
answer_authorities(const struct set *set, struct chan *ch, const struct chan_head *head)
{
	struct str rest = buf_view(&set->certificates);

	while (rest.n > 0) {
		struct msg_authorities msg = {.bytes = str_sub(rest, 0, MSG_VALUE_MAX)};
		if (chan_reply(ch, head, MSG_AUTHORITIES, &msg) == -1) {
			chan_fail(ch, "no room for authorities");
			return;
		}
		rest = str_from_at(rest, msg.bytes.n);
	}
	chan_done(ch, head, 1);
}

static void
answer(struct set *set, struct chan *ch, const struct chan_head *head)
{
	if (!is_good(set)) {
		chan_refuse(ch, head, &set->failure);
		return;
	}
	if (set->authorities) {
		answer_authorities(set, ch, head);
		return;
	}
	for (size_t i = 0; i < set->keys.n; i++) {
		struct msg_identity msg = {
		    .key = set->keys.items[i].number, .chain = str_from(set->keys.items[i].chain)};
		chan_reply(ch, head, MSG_IDENTITY, &msg);
	}
	chan_done(ch, head, set->keys.n);
}

static void
answer_all(struct set *set)
{
	struct asker *a;

	while ((a = TAILQ_FIRST(&set->askers)) != NULL) {
		TAILQ_REMOVE(&set->askers, a, link);
		answer(set, a->ch, &a->head);
		free(a);
	}
}

void
identities_gone(struct keeper *k, struct chan *ch)
{
	struct set *set;

	TAILQ_FOREACH (set, &k->identities->list, link) {
		struct asker *a = TAILQ_FIRST(&set->askers), *next;
		for (; a != NULL; a = next) {
			next = TAILQ_NEXT(a, link);
			if (a->ch != ch)
				continue;
			TAILQ_REMOVE(&set->askers, a, link);
			free(a);
		}
	}
}

/* --- reading --- */

static void
fail(struct load *load, const struct why *why)
{
	if (load->failure.class == WHY_NONE)
		load->failure = *why;
}

/* What was read is as it was: nothing to do, and nothing to say again. */
static bool
is_old(struct load *load)
{
	struct set *set = load->set;
	unsigned char digest[EVP_MAX_MD_SIZE];
	bool old;

	EVP_DigestUpdate(load->digest, load->failure.text, strlen(load->failure.text));
	if (EVP_DigestFinal_ex(load->digest, digest, NULL) != 1)
		fatal("keeper: no digest");
	old = set->read && memcmp(set->seen, digest, sizeof set->seen) == 0;
	memcpy(set->seen, digest, sizeof set->seen);
	set->read = true;
	return old;
}

static void
take_over(struct set *set, struct pem_keys *keys)
{
	struct identities *all = set->all;
	bool first = set->keys.n == 0;

	hold(all, keys);
	retire(all, &set->keys);
	set->keys = *keys;
	set->failure = (struct why){0};
	set->warned = 0;
	if (!first)
		log_info("%s: new keys and certificates", set->files);
}

static void
take_over_authorities(struct set *set, struct buf *certificates)
{
	bool first = set->certificates.n == 0;

	buf_free(&set->certificates);
	set->certificates = *certificates;
	*certificates = (struct buf){0};
	set->failure = (struct why){0};
	if (!first)
		log_info("%s: new authorities", set->files);
}

static void
compare(struct load *load)
{
	struct set *set = load->set;
	struct pem_keys keys;
	struct why why = load->failure;

	if (is_old(load))
		return;
	if (why.class == WHY_NONE && set->authorities) {
		set->all->changed |= load->round;
		take_over_authorities(set, &load->certificates);
		return;
	}
	if (why.class == WHY_NONE && pem_sort(load->pem, &keys, &why) == 0) {
		set->all->changed |= load->round;
		take_over(set, &keys);
		return;
	}
	set->failure = why;
	log_warning("%s%s", why.text, is_good(set) ? "; what was there before stays" : "");
}

static void
load_end(struct load *load)
{
	struct set *set = load->set;

	set->load = NULL;
	compare(load);
	answer_all(set);
	look_at_expiry(set->all);
	pem_free(&load->pem);
	buf_free(&load->certificates);
	EVP_MD_CTX_free(load->digest);
	free(load->path);
	bool round = load->round;
	free(load);
	if (round)
		round_go_on(set->all);
}

/* All of a file, which is regular and was opened for us; -1 with errno. */
static ssize_t
read_text(int fd, char *text, size_t size)
{
	size_t n = 0;
	ssize_t part;

	while (n < size && (part = read(fd, text + n, size - n)) != 0) {
		if (part == -1 && errno == EINTR)
			continue;
		if (part == -1)
			return -1;
		n += (size_t)part;
	}
	return (ssize_t)n;
}

static void
warn_of_mode(const struct load *load, int fd)
{
	struct stat st;

	if (!load->set->read && fstat(fd, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		log_warning("%s: anybody may read this private key", load->path);
}

static int
parse(struct load *load, int fd, struct str text, struct why *why)
{
	size_t keys = pem_nkeys(load->pem);

	if (load->set->authorities)
		return pem_certificates(load->path, text, &load->certificates, why);
	if (pem_add(load->pem, load->path, text, why) == -1)
		return -1;
	if (pem_nkeys(load->pem) > keys)
		warn_of_mode(load, fd);
	return 0;
}

static void
read_file(struct load *load, int fd)
{
	struct why why = {0};
	size_t max = load->set->authorities ? AUTHORITIES_MAX : FILE_MAX;
	char *text = xmalloc(max + 1);
	ssize_t n = read_text(fd, text, max + 1);
	int rc = 0;

	if (n == -1)
		rc = why_sys(&why, NULL, "%s", load->path);
	else if ((size_t)n > max)
		rc = why_perm(&why, NULL, "%s: larger than %zu octets", load->path, max);
	else
		rc = parse(load, fd, str_make(text, (size_t)n), &why);
	if (n >= 0)
		EVP_DigestUpdate(load->digest, text, (size_t)n);
	freezero(text, max + 1);
	if (rc == -1)
		fail(load, &why);
}

static void
on_opened(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct load *load = arg;
	struct why why;
	int fd;

	if (msg != NULL && head->type == MSG_OPENED && (fd = msg->opened.file) != -1) {
		read_file(load, fd);
	} else if (msg != NULL && head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
		fail(load, &why);
	} else {
		why_temp(&why, NULL, "%s: master does not open it", load->path);
		fail(load, &why);
	}
	read_next(load);
}

static void
read_next(struct load *load)
{
	struct chan *master = service_master(load->set->all->k->s);
	struct str path;
	struct why why;

	free(load->path);
	load->path = NULL;
	if (!str_word(&load->rest, ", \t\r\n", &path)) {
		load_end(load);
		return;
	}
	load->path = str_dup(path);
	struct msg_open msg = {.path = path};
	if (master != NULL && chan_call(master, 0, MSG_OPEN, &msg, on_opened, load) != 0)
		return;
	why_temp(&why, NULL, "%s: master does not open it", load->path);
	fail(load, &why);
	load->rest = STR_EMPTY;
	read_next(load);
}

static void
load_begin(struct set *set, bool round)
{
	struct load *load = xcalloc(1, sizeof *load);

	*load = (struct load){.set = set,
	    .rest = str_from(set->files),
	    .pem = pem_new(),
	    .digest = EVP_MD_CTX_new(),
	    .round = round};
	buf_init(&load->certificates, AUTHORITIES_MAX);
	if (load->digest == NULL || EVP_DigestInit_ex(load->digest, EVP_sha256(), NULL) != 1)
		fatal("keeper: no digest");
	set->load = load;
	read_next(load);
}

/* --- asking --- */

static struct set *
set_new(struct identities *all, struct str key, struct str files)
{
	struct set *set = xcalloc(1, sizeof *set);

	*set = (struct set){.all = all,
	    .key = str_dup(key),
	    .files = str_dup(files),
	    .authorities = key.n != files.n};
	TAILQ_INIT(&set->askers);
	TAILQ_INSERT_TAIL(&all->list, set, link);
	map_put(all->sets, key, set);
	return set;
}

static void
set_free(struct set *set)
{
	struct identities *all = set->all;

	TAILQ_REMOVE(&all->list, set, link);
	map_take(all->sets, str_from(set->key));
	retire(all, &set->keys);
	buf_free(&set->certificates);
	free(set->key);
	free(set->files);
	free(set);
}

static int
check_paths(struct str files, struct why *why)
{
	struct str path;
	size_t n = 0;

	if (memchr(files.p, '\0', files.n) != NULL)
		return why_perm(why, NULL, "a NUL octet in a path");
	for (; str_word(&files, ", \t\r\n", &path); n++)
		if (path.p[0] != '/')
			return why_perm(
			    why, NULL, "%.*s: expected an absolute path", STR_ARG(path));
	if (n == 0 || n > PATHS_MAX)
		return why_perm(why, NULL, "expected 1 to %d files", PATHS_MAX);
	return 0;
}

/* `key` is `files`, or that behind "ca:". */
static void
get(struct chan *ch, const struct chan_head *head, struct str key, struct str files)
{
	struct identities *all = keeper_of(ch)->identities;
	struct set *set = map_get(all->sets, key);
	struct why why;

	if (set == NULL && (check_paths(files, &why) == -1 ||
			       (map_count(all->sets) >= SETS_MAX &&
				   why_temp(&why, NULL, "too many certificates") == -1))) {
		chan_refuse(ch, head, &why);
		return;
	}
	if (set == NULL)
		set = set_new(all, key, files);
	set->wanted = true;
	if (set->read && set->load == NULL) {
		answer(set, ch, head);
		return;
	}
	struct asker *a = xcalloc(1, sizeof *a);
	*a = (struct asker){.ch = ch, .head = *head};
	TAILQ_INSERT_TAIL(&set->askers, a, link);
	if (set->load == NULL)
		load_begin(set, false);
}

void
on_identity_get(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	get(ch, head, msg->identity_get.files, msg->identity_get.files);
}

void
on_authorities_get(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct str file = msg->authorities_get.file;
	char *key = xasprintf("ca:%.*s", STR_ARG(file));

	get(ch, head, str_from(key), file);
	free(key);
}

/* --- watching --- */

static void
tell_partners(struct identities *all)
{
	static const enum program partners[] = {PROGRAM_SMTPD, PROGRAM_REMOTE};
	struct msg_identities_changed msg = {0};
	struct chan *ch;

	for (size_t i = 0; i < NELEM(partners); i++)
		for (size_t n = 0; (ch = service_peer_at(all->k->s, partners[i], n)) != NULL; n++)
			if (chan_send(ch, 0, 0, MSG_IDENTITIES_CHANGED, &msg) == -1)
				chan_fail(ch, "no room for the news");
}

static void
arm(struct identities *all)
{
	struct timeval tv = clock_tv(all->k->conf->tls_file_check_interval);

	if (evtimer_add(all->ev, &tv) == -1)
		fatal("keeper: no timer");
}

/* The next set of the round, or its end. */
static void
round_go_on(struct identities *all)
{
	struct set *set;

	if (service_master(all->k->s) == NULL) /* the end has begun */
		return;
	TAILQ_FOREACH (set, &all->list, link)
		if (set->due)
			break;
	if (set != NULL) {
		set->due = false;
		load_begin(set, true);
		return;
	}
	if (all->changed)
		tell_partners(all);
	all->changed = false;
	arm(all);
}

/* Those that no worker of the present configuration has asked for. */
static void
forget_unwanted(struct identities *all)
{
	struct set *set, *next;

	if (all->reloaded == 0 || clock_ms() - all->reloaded < KEEP_MS)
		return;
	all->reloaded = 0;
	for (set = TAILQ_FIRST(&all->list); set != NULL; set = next) {
		next = TAILQ_NEXT(set, link);
		if (!set->wanted && set->load == NULL)
			set_free(set);
	}
}

static void
on_check(evutil_socket_t fd, short what, void *arg)
{
	struct identities *all = arg;
	struct set *set;

	(void)fd;
	(void)what;
	forget_retired(all);
	forget_unwanted(all);
	TAILQ_FOREACH (set, &all->list, link)
		set->due = set->load == NULL;
	round_go_on(all);
}

void
identities_start(struct keeper *k)
{
	struct identities *all = xcalloc(1, sizeof *all);

	*all = (struct identities){.k = k,
	    .ev = evtimer_new(k->s->loop.base, on_check, all),
	    .sets = map_new(),
	    .keys = map_new()};
	if (all->ev == NULL)
		fatal("keeper: no timer");
	TAILQ_INIT(&all->list);
	TAILQ_INIT(&all->retired);
	k->identities = all;
	arm(all);
}

void
identities_reload(struct keeper *k)
{
	struct identities *all = k->identities;
	struct set *set;

	TAILQ_FOREACH (set, &all->list, link)
		set->wanted = false;
	all->reloaded = clock_ms();
	/* A round under way ends by setting the timer. */
	if (evtimer_pending(all->ev, NULL))
		event_active(all->ev, EV_TIMEOUT, 0);
}
