import { assert } from '@rmr/runtime';

/** Changes of a disk that exist in memory only, page by page, in the order in which the pages were first changed. */
export class CachedPages {
  readonly #pages: Map<number, CachedPage>;

  constructor(pages: Map<number, CachedPage> = new Map()) {
    this.#pages = pages;
  }

  /** Pages that are kept. */
  get count(): number {
    return this.#pages.size;
  }

  /** What is known of a page. */
  at(index: number): CachedPage | undefined {
    return this.#pages.get(index);
  }

  write(offsetBytes: number, source: Uint8Array): void {
    forEachPage(offsetBytes, source.length, (index, from, to, done) => {
      const page = this.#dataPage(index);
      page.bytes.set(source.subarray(done, done + to - from), from);
      page.learn(from, to);
    });
  }

  /** The range reads as zeroes; pages that it covers as a whole remember how they became so. */
  clear(offsetBytes: number, lengthBytes: number, kind: PageKind): void {
    forEachPage(offsetBytes, lengthBytes, (index, from, to) => {
      if (from === 0 && to === PAGE_BYTES) {
        const page = this.#pages.get(index) ?? this.#add(index);
        page.kind = kind;
        page.bytes = NO_BYTES;
        page.known = null;
        return;
      }
      const page = this.#dataPage(index);
      page.bytes.fill(0, from, to);
      page.learn(from, to);
    });
  }

  /** Takes the pages out that were changed first, at most so many. */
  takeOldest(countMax: number): CachedPages {
    const taken = new Map<number, CachedPage>();
    for (const [index, page] of this.#pages) {
      if (taken.size === countMax) break;
      taken.set(index, page);
      this.#pages.delete(index);
    }
    return new CachedPages(taken);
  }

  /** Every page, oldest first. */
  entries(): IterableIterator<[number, CachedPage]> {
    return this.#pages.entries();
  }

  #dataPage(index: number): CachedPage {
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = this.#add(index);
      page.bytes = new Uint8Array(PAGE_BYTES);
      page.known = new Uint8Array(PAGE_BYTES);
    }
    page.toData();
    return page;
  }

  #add(index: number): CachedPage {
    const page = new CachedPage();
    this.#pages.set(index, page);
    return page;
  }
}

/** Unit in which changes are kept: what most of them are, and what a page cache has. */
export const PAGE_BYTES = 4096;

/** What a range of a cache holds. */
export const PageKind = { DATA: 0, PUNCHED: 1, ZEROED: 2 } as const;
export type PageKind = (typeof PageKind)[keyof typeof PageKind];

const NO_BYTES = new Uint8Array(0);

/** What is known of one page. */
export class CachedPage {
  kind: PageKind = PageKind.DATA;
  /** The content of a page of data; empty for a page that was punched or zeroed as a whole. */
  bytes: Uint8Array = NO_BYTES;
  /** Which bytes are known: 1 where they are. Null = all of them. */
  known: Uint8Array | null = null;

  /** Makes it a page of data that can be changed; what is not known yet stays so. */
  toData(): void {
    if (this.bytes.length === PAGE_BYTES) return;
    assert(this.kind !== PageKind.DATA && this.known === null, 'cached page: only whole pages have no bytes');
    this.kind = PageKind.DATA;
    this.bytes = new Uint8Array(PAGE_BYTES);
  }

  /** The bytes from `from` to `to` are known from now on. */
  learn(from: number, to: number): void {
    if (this.known === null) return;
    if (from === 0 && to === PAGE_BYTES) this.known = null;
    else this.known.fill(1, from, to);
  }

  /** Calls back for each run of known bytes between `from` and `to`. */
  forEachRun(from: number, to: number, visit: (from: number, to: number) => void): void {
    const { known } = this;
    if (known === null) {
      visit(from, to);
      return;
    }
    for (let at = known.indexOf(1, from); at >= 0 && at < to; ) {
      const end = known.indexOf(0, at);
      const stop = end < 0 || end > to ? to : end;
      visit(at, stop);
      at = stop >= to ? -1 : known.indexOf(1, stop);
    }
  }
}

/** Calls back for each page that a range touches: its number, the part of it, and how many bytes of the range came before. */
export function forEachPage(
  offsetBytes: number,
  lengthBytes: number,
  visit: (index: number, from: number, to: number, done: number) => void,
): void {
  for (let done = 0; done < lengthBytes; ) {
    const at = offsetBytes + done;
    const index = Math.floor(at / PAGE_BYTES);
    const from = at - index * PAGE_BYTES;
    const to = Math.min(PAGE_BYTES, from + lengthBytes - done);
    visit(index, from, to, done);
    done += to - from;
  }
}
