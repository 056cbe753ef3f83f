/** Which certificate a site shows; all but `good` are what a client must refuse. */
export type CertificateKind = 'good' | 'self-signed' | 'expired' | 'wrong-name' | 'unknown-root'

/** Which kinds of address the resolver gives out for a name; none of them is NXDOMAIN. */
export type Families = '4' | '6' | 'both' | 'none'

/** What the laboratory asks of the process in `internet`, over its IPC channel; each gets one answer. */
export type Command =
  | { readonly type: 'flush' }
  | { readonly type: 'log'; readonly on: boolean }
  | { readonly type: 'certificate'; readonly site: string; readonly kind: CertificateKind }
  /** The site shows a certificate (PEM, with its chain) of the laboratory's choice. */
  | { readonly type: 'credentials'; readonly site: string; readonly cert: string; readonly key: string }
  /** The site speaks HTTP/2 with who offers it. */
  | { readonly type: 'http2'; readonly site: string; readonly on: boolean }
  | { readonly type: 'listening'; readonly site: string; readonly on: boolean }
  /** `next`: the addresses that the site moves to. */
  | {
      readonly type: 'resolve'
      readonly name: string
      readonly families: Families
      readonly next?: boolean
    }
  /** Gives any name these addresses, whosesoever they are; none of them makes a site's name the site's again. */
  | { readonly type: 'addresses'; readonly name: string; readonly addresses: readonly string[] }
  /** Gives a name an HTTPS record that offers HTTP/3 and, where asked, ECH; or takes it away. */
  | { readonly type: 'https-record'; readonly name: string; readonly record: 'none' | 'h3' | 'ech' }

export interface Request {
  readonly id: number
  readonly command: Command
}

/** `ready` comes first and once; `root` is the laboratory's root certificate (PEM). */
export type Report =
  | { readonly type: 'ready'; readonly root: string }
  | { readonly type: 'done'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
