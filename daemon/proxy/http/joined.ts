/** The head and bytes offset..end that follow it; in one piece without a copy where they came in one. */
export function joined(head: Buffer | undefined, bytes: Buffer, offset: number, end: number): Buffer {
  const rest = offset === 0 && end === bytes.length ? bytes : bytes.subarray(offset, end)
  if (!head) return rest
  if (rest.length === 0) return head
  const follows = head.buffer === bytes.buffer && head.byteOffset + head.length === bytes.byteOffset + offset
  return follows ? bytes.subarray(offset - head.length, end) : Buffer.concat([head, rest])
}
