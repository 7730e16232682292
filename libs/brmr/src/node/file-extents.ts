import { type DiskExtent, Status } from '@rmr/runtime';
import { statusOfErrno } from './errno-status.ts';
import { Errno, errno, lseek, SEEK_DATA, SEEK_END, SEEK_HOLE } from './libc.ts';

/**
 * Pieces of data looked up for one answer: each costs two calls in the thread pool. A client that wants one run at a time
 * of a file with thousands would otherwise have all of them looked up again for each.
 */
const EXTENT_LOOKUPS_MAX = 16;

type Done = (status: number, extents: readonly DiskExtent[]) => void;

/** Looks up, in the thread pool and one call after the other, what of a file is data between `offsetBytes` and `endBytes`. The answer may end earlier. */
export function lookUpExtents(fd: number, offsetBytes: number, endBytes: number, done: Done): void {
  seek(fd, [], offsetBytes, endBytes, EXTENT_LOOKUPS_MAX, done);
}

/**
 * Looks up what lies between `at` and `end`. Writes and punches may come between any two calls, so an answer of one is
 * no promise about the next; data is always a right answer.
 */
function seek(fd: number, found: Run[], at: number, end: number, lookupsLeft: number, done: Done): void {
  if (at >= end || lookupsLeft === 0) {
    // It changed at every look: somebody is writing there.
    if (found.length === 0) append(found, end - at, false);
    done(Status.OK, found);
    return;
  }
  // Data from here? Where does the next data begin, and where does it end?
  lseek.async(fd, at, SEEK_DATA, (_error, position) => {
    if (position < 0) {
      const code = errno();
      if (code === Errno.ENXIO) seekEnd(fd, found, at, end, done);
      else done(statusOfErrno(code), []);
      return;
    }
    const data = Math.min(Math.max(position, at), end);
    append(found, data - at, true);
    if (data === end) {
      done(Status.OK, found);
      return;
    }
    lseek.async(fd, data, SEEK_HOLE, (_holeError, hole) => {
      const code = hole < 0 ? errno() : 0;
      if (hole < 0 && code !== Errno.ENXIO) {
        done(statusOfErrno(code), []);
        return;
      }
      // ENXIO: the file has been shortened meanwhile; reads of what is gone are to tell.
      const stop = hole < 0 ? end : Math.min(Math.max(hole, data), end);
      // Nothing, when it was punched meanwhile: then it is looked at again.
      append(found, stop - data, false);
      seek(fd, found, stop, end, lookupsLeft - 1, done);
    });
  });
}

/** There is no data from `at` on: a hole as far as the file goes. Beyond, where it has been shortened, reads are to tell. */
function seekEnd(fd: number, found: Run[], at: number, end: number, done: Done): void {
  lseek.async(fd, 0, SEEK_END, (_error, sizeBytes) => {
    if (sizeBytes < 0) {
      done(statusOfErrno(errno()), []);
      return;
    }
    append(found, end - at, sizeBytes >= end);
    done(Status.OK, found);
  });
}

/** A {@link DiskExtent} that is being made. */
interface Run {
  lengthBytes: number;
  readonly hole: boolean;
}

function append(runs: Run[], lengthBytes: number, hole: boolean): void {
  if (lengthBytes === 0) return;
  const last = runs.at(-1);
  if (last?.hole === hole) last.lengthBytes += lengthBytes;
  else runs.push({ lengthBytes, hole });
}
