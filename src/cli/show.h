/* How `roger read` shows a record: one function a format. */
#ifndef ROGER_CLI_SHOW_H
#define ROGER_CLI_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "journal/reader.h"

/* The payload and a line end; on a terminal control bytes are escaped. */
void show_text(FILE *out, const struct record *record, bool terminal, char line_end);

/* The payload alone. */
void show_raw(FILE *out, const struct record *record);

/* One object and a line end. */
void show_json(FILE *out, const struct record *record, char line_end);

#endif
