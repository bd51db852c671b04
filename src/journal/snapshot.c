/* Snapshots of the stream table, so that opening need not read every segment. Two generations: streams.snap and
 * streams.snap.old; either may be the only one after a power cut.
 *
 * The copy is made in memory at the instant of rolling over, when the table is exactly the state at the old segment's end, and
 * written by a file job once durable has reached that end (what a snapshot covers counts as a claim that it is durable). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/must.h"
#include "base/mutant.h"
#include "journal/private.h"

void snapshot_copy(struct journal *j, uint64_t index, uint64_t record)
{
	struct store *store = &j->store;

	/* The one before is still being written: it will do. Retention only comes later. (One that still waits is replaced.) */
	if (store->job_running && store->job.kind == JOB_SNAPSHOT)
		return;
	if (record == 0)
		return;
	store->snapshot = (struct snapshot_header){
		.segment_index = index,
		.record = record,
		.count = streams_encode(&j->streams, store->snapshot_entries),
	};
	memcpy(store->snapshot.journal_id, j->id, sizeof(j->id));
	store->snapshot_pending = true;
}

static int failed_at(struct store_job *job, const char *step, int error)
{
	job->failed_step = step;
	return error;
}

static int write_file(struct store_job *job, int file)
{
	uint8_t header[SNAPSHOT_HEADER_SIZE];
	uint64_t size = job->snapshot.count * SNAPSHOT_ENTRY_SIZE;
	int error;

	job->snapshot.entries_checksum = crc32c(0, job->entries, size);
	snapshot_header_encode(header, &job->snapshot);
	error = file_write(file, header, sizeof(header), 0);
	if (error == 0)
		error = file_write(file, job->entries, size, sizeof(header));
	if (error != 0)
		return failed_at(job, "write snapshot", error);
	error = file_flush(file);
	return error == 0 ? 0 : failed_at(job, "flush snapshot", error);
}

/* On the job's thread. */
int snapshot_write(struct store_job *job)
{
	int file;
	int error = file_remove(job->directory, NAME_SNAPSHOT_NEW);

	if (error != 0 && error != -ENOENT)
		return failed_at(job, "remove snapshot.tmp", error);
	error = file_open(job->directory, NAME_SNAPSHOT_NEW, FILE_WRITE | FILE_CREATE | FILE_NEW,
			  &file);
	if (error != 0)
		return failed_at(job, "make snapshot.tmp", error);
	error = write_file(job, file);
	file_close(file);
	if (error != 0) {
		(void)file_remove(job->directory, NAME_SNAPSHOT_NEW);
		return error;
	}
	if (!job->keep_old) {
		error = file_rename(job->directory, NAME_SNAPSHOT, NAME_SNAPSHOT_OLD, true);
		if (error != 0 && error != -ENOENT)
			return failed_at(job, "rename older snapshot", error);
	}
	error = file_rename(job->directory, NAME_SNAPSHOT_NEW, NAME_SNAPSHOT, true);
	if (error != 0)
		return failed_at(job, "rename snapshot", error);
	error = MUTANT(103) ? 0 : file_flush_directory(job->directory);
	if (error != 0) {
		job->fatal = true;
		return failed_at(job, "flush journal directory", error);
	}
	return 0;
}

/* The size on disk decides what is read, never the count in the header (J9). */
static int read_entries(int file, uint64_t size, struct snapshot_file *ret)
{
	uint64_t bytes = size - SNAPSHOT_HEADER_SIZE;
	int64_t got;

	if (ret->header.count != bytes / SNAPSHOT_ENTRY_SIZE || bytes % SNAPSHOT_ENTRY_SIZE != 0)
		return 0;
	ret->entries = malloc(bytes != 0 ? bytes : 1);
	if (ret->entries == NULL)
		return -ENOMEM;
	got = file_read(file, ret->entries, bytes, SNAPSHOT_HEADER_SIZE);
	if (got < 0)
		return (int)got;
	ret->valid = (uint64_t)got == bytes &&
		     crc32c(0, ret->entries, bytes) == ret->header.entries_checksum;
	return 0;
}

int snapshot_read(int directory, const char *name, struct snapshot_file *ret)
{
	uint8_t header[SNAPSHOT_HEADER_SIZE];
	struct file_stat stat;
	int64_t got;
	int file;
	int error;

	memset(ret, 0, sizeof(*ret));
	error = file_open(directory, name, FILE_READ, &file);
	if (error == -ENOENT)
		return 0;
	ret->present = true;
	if (error != 0)
		return error;
	error = file_stat(file, &stat);
	if (error != 0)
		goto close_file;
	got = file_read(file, header, sizeof(header), 0);
	if (got < 0)
		error = (int)got;
	else if (snapshot_header_decode(header, (size_t)got, &ret->header) == FORMAT_OK)
		error = read_entries(file, stat.size, ret);
	if (!ret->valid) {
		free(ret->entries);
		ret->entries = NULL;
	}
close_file:
	file_close(file);
	return error;
}
