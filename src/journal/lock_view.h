/* The lock file as readers and tools see it: does a server hold the journal, and how far does it say that all is durable? */
#ifndef ROGER_JOURNAL_LOCK_VIEW_H
#define ROGER_JOURNAL_LOCK_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct lock_view {
	int directory;     /* borrowed */
	int file;          /* -1: there is none, or it may not be opened */
	bool refused;      /* it is there, and may not be opened */
	void *memory;      /* its first LOCK_SIZE bytes, mapped; NULL: none */
	uint64_t inode;
	bool taken;        /* this process holds it shared (or there is none that anybody could hold) */
};

/* The server's side of it: `lock` is the file's LOCK_SIZE bytes, mapped and aligned. */
void lock_number_store(uint8_t *lock, uint64_t number);

/* What it says; 0 when it says nothing (the check does not fit: never written, or garbage after a power cut). Any thread or process. */
uint64_t lock_number_load(const uint8_t *lock);

/* Blocks. 0 (also when there is no lock file) or -errno. */
int lock_view_open(struct lock_view *view, int directory);
void lock_view_close(struct lock_view *view);

/* Open the name again, in case that it was not there or is another file now. 1 when it is another than before, 0, or -errno. */
int lock_view_renew(struct lock_view *view);

/* The durable record number that the server keeps there; 0 when there is none. No system call. */
uint64_t lock_view_number(const struct lock_view *view);

/* The holder's process id, 0 when there is none; a killed server's stays. */
uint64_t lock_view_holder(const struct lock_view *view);

/* Take the lock shared, so that no server can be open. 1 taken; 0 a server holds it, or that cannot be known; -errno. */
int lock_view_take(struct lock_view *view);
void lock_view_give(struct lock_view *view);

#endif
