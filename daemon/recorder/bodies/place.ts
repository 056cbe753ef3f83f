/** Where an entry of the body store stands. The index keeps places; a scan of the packs finds them again. */
export interface Place {
  /** Chunk id or part digest, 32 bytes. */
  readonly key: Buffer
  readonly pack: number
  readonly offset: number
  /** Bytes in the file, the seal's overhead included. */
  readonly length: number
  /** A part's manifest, and no chunk. */
  readonly manifest: boolean
}

/** What is needed to read the entry. */
export type Span = Pick<Place, 'pack' | 'offset' | 'length'>

/** Everything before it is in the index. */
export interface PackPosition {
  readonly pack: number
  readonly offset: number
}

/** What the index has to learn of a commit. */
export interface Committed {
  readonly places: Place[]
  readonly position: PackPosition
}

export interface PlaceIndex {
  isIn(key: Buffer, pack: number): boolean
  /** Places come before the leaves that name them. */
  add(leaves: readonly never[], committed: Committed): void
}
