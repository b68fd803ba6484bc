/* SPDX-License-Identifier: ISC */
/* Dovecot's auth service as a backend (smtpd_sasl_type = dovecot): it leads every mechanism. */
#ifndef KEEPER_DOVECOT_H
#define KEEPER_DOVECOT_H

#include <stdbool.h>

struct backend;
struct buf;
struct dovecot;
struct mechanism;

/* Connects to the backend's path, and again whenever it is lost. Freed when no exchange has it. */
struct dovecot *dovecot_new(struct backend *b);
void dovecot_free(struct dovecot **dp);

/* What it has announced; nothing while it is away. */
bool dovecot_has(const struct dovecot *d, const char *mechanism);
void dovecot_list(const struct dovecot *d, struct buf *names, struct buf *plain);

extern const struct mechanism dovecot_mechanism;

#endif
