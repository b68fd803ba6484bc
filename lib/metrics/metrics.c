/* SPDX-License-Identifier: ISC */
/*
 * Counting into one's own slot of a shared mapping. One process writes a slot, others only read it;
 * a torn 64-bit read cannot happen on the machines we run on, and a sum that is a moment old is
 * what a metric is.
 */
#include "lib/metrics/metrics.h"

#include <sys/mman.h>

#include "lib/base/attr.h"

#define ROW(CONSTANT, metric_name, metric_kind, metric_help) \
	[METRIC_##CONSTANT] = {#metric_name, METRIC_##metric_kind, metric_help},
static const struct metric_row rows[METRIC_COUNT] = {METRICS(ROW)};
#undef ROW

static struct metric_slot own;
static struct metric_slot *slot = &own;

const struct metric_row *
metric_row(enum metric m)
{
	return &rows[m];
}

int
metrics_open(int fd, unsigned n)
{
	size_t page = 4096, start = n * sizeof(struct metric_slot);
	size_t skew = start % page;

	char *map = mmap(NULL, sizeof(struct metric_slot) + skew, PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, (off_t)(start - skew));
	if (map == MAP_FAILED)
		return -1;
	slot = (struct metric_slot *)(void *)(map + skew);
	/* cppcheck-suppress memleak ; the mapping lives as long as the process */
	return 0;
}

void
metric_add(enum metric m, int64_t n)
{
	slot->values[m].count += (uint64_t)n;
}

void
metric_set(enum metric m, uint64_t value)
{
	slot->values[m].count = value;
}

void
metric_time(enum metric m, int64_t us)
{
	struct metric_value *v = &slot->values[m];
	uint64_t value = us > 0 ? (uint64_t)us : 0;
	unsigned bucket = 0;

	while (bucket < METRIC_BUCKETS - 1 && value >= (uint64_t)16 << bucket)
		bucket++;
	v->count++;
	v->sum += value;
	v->buckets[bucket]++;
}

void
metrics_sum(const struct metric_slot *slots, unsigned n, struct metric_slot *sum)
{
	*sum = (struct metric_slot){0};
	for (unsigned i = 0; i < n; i++)
		for (unsigned m = 0; m < METRIC_COUNT; m++) {
			const struct metric_value *from = &slots[i].values[m];
			sum->values[m].count += from->count;
			sum->values[m].sum += from->sum;
			for (unsigned b = 0; b < METRIC_BUCKETS; b++)
				sum->values[m].buckets[b] += from->buckets[b];
		}
}
