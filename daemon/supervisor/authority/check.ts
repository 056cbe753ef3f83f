/** Checks the CA's files as they lie there. Reads only. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { certificateBlocks } from '../../../ca/system-roots.ts'
import { messageOf } from '../../base/errors.ts'
import { openSealed } from '../../vault/sealed-file.ts'
import type { Vault } from '../../vault/vault.ts'
import type { Layout } from '../layout.ts'
import { readSteps } from './history.ts'
import { fingerprintOf } from './note.ts'
import { CA_PURPOSE, isUnderWay, sealedKey, sealedSuccessorKey } from './store.ts'

interface Fault {
  readonly path: string
  readonly what: string
}

/**
 * What is wrong with the CA's files; one that never was made has two that are missing.
 * @param vault undefined: the keys go unchecked
 */
export async function checkAuthority(
  { keysDirectory: dir, caCertificate }: Pick<Layout, 'keysDirectory' | 'caCertificate'>,
  vault: Vault | undefined,
): Promise<Fault[]> {
  const faults: Fault[] = []
  const attempt = async <T>(path: string, look: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await look()
    } catch (error) {
      faults.push({ path, what: messageOf(error) })
      return undefined
    }
  }
  const history = `${dir}/ca-history.json`
  const last = (await attempt(history, () => readSteps(dir)))?.at(-1)
  const expected = isUnderWay(last) ? 2 : 1
  const certificates = await attempt(caCertificate, async () => {
    const text = await readFile(caCertificate, 'utf8')
    const read = [...certificateBlocks(text)].map((block) => new X509Certificate(block))
    const whole = read.map(String).join('') === text && read.length === expected
    if (!whole || !read.every((each) => each.verify(each.publicKey)))
      throw new Error('it is not the certificate that was made')
    return read
  })
  const held = (sha256: string) => certificates?.some((each) => fingerprintOf(each.toString()) === sha256)
  if (isUnderWay(last) && certificates && !(held(last.from) && held(last.to)))
    faults.push({ path: history, what: 'it speaks of other certificates than ca.crt holds' })
  if (vault === undefined) return faults
  for (const file of [sealedKey({ dir }), ...(expected === 2 ? [sealedSuccessorKey({ dir })] : [])]) {
    await attempt(file, async () => {
      const secret = await openSealed(vault, file, CA_PURPOSE)
      if (secret === undefined) throw new Error('it is missing')
      const key = createPrivateKey(secret)
      secret.fill(0)
      if (certificates?.some((each) => each.checkPrivateKey(key)) === false)
        throw new Error('it is not the key of ca.crt')
    })
  }
  return faults
}
