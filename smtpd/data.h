/* SPDX-License-Identifier: ISC */
/* The content of a transaction as it comes in: DATA's text and BDAT's chunks. */
#ifndef SMTPD_DATA_H
#define SMTPD_DATA_H

#include "smtpd/smtpd.h"

void cmd_data(struct session *s, struct str argument);
void cmd_bdat(struct session *s, struct str argument);

/* BDAT where it is not allowed: its chunk is thrown away, then it is refused. */
void refuse_bdat(struct session *s, struct str argument);

/* Readers of the input, see `take` in struct session. */
size_t data_take_text(struct session *s, struct str in);
size_t data_take_chunk(struct session *s, struct str in);

#endif
