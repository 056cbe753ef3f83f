/** Where something is asked over HTTP. */
import { z } from 'zod'

export const httpUrl = z.string().max(2048).refine(isHttpUrl, 'this must be an http:// or https:// URL')

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:')
}
