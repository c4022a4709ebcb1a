/**
 * A statement as PDF, A4. The same statement is the same bytes: nothing in it is of the moment at which it is made. The fonts
 * are those that every reader has, so it holds the letters of Western Europe, and "?" in place of others; CSV and JSON
 * hold them all.
 */
import type { Content, Line } from './statements.ts'

const [WIDTH, HEIGHT, MARGIN, LEADING] = [595.28, 841.89, 50, 14]
const SIZE = 9
/** Where columns are: left edges of text, right edges of numbers. */
const TEAM = MARGIN
const MODEL = MARGIN + 110
const RIGHT = [355, 425, 490, WIDTH - MARGIN] as const
const WIDEST_TEXT = { team: 105, model: 165 }

export async function statementPdf(content: Content): Promise<Uint8Array> {
  // Only who wants a PDF waits for what makes it.
  const { PDFDocument, StandardFonts } = await import('@cantoo/pdf-lib')
  const pdf = await PDFDocument.create({ updateMetadata: false })
  const plain = await pdf.embedFont(StandardFonts.Helvetica)
  const bold = await pdf.embedFont(StandardFonts.HelveticaBold)
  const at = new Date(content.to)
  pdf.setTitle(content.number === null ? `Draft ${content.month}` : `Statement ${content.number}`)
  pdf.setProducer('Stockyard')
  pdf.setCreator('Stockyard')
  pdf.setCreationDate(at)
  pdf.setModificationDate(at)

  const known = new Set(plain.getCharacterSet())
  const shown = (text: string): string =>
    Array.from(text, (c) => (known.has(c.codePointAt(0) as number) ? c : '?')).join('')
  let page = pdf.addPage([WIDTH, HEIGHT])
  let y = HEIGHT - MARGIN
  const next = (lines = 1): void => {
    y -= LEADING * lines
    if (y > MARGIN) return
    page = pdf.addPage([WIDTH, HEIGHT])
    y = HEIGHT - MARGIN
  }
  const write = (text: string, x: number, font = plain, size = SIZE): void =>
    page.drawText(shown(text), { x, y, size, font })
  const right = (text: string, x: number, font = plain): void =>
    write(text, x - font.widthOfTextAtSize(shown(text), SIZE), font)
  const fitting = (text: string, width: number): string => {
    let cut = shown(text)
    if (plain.widthOfTextAtSize(cut, SIZE) <= width) return cut
    while (cut !== '' && plain.widthOfTextAtSize(`${cut}...`, SIZE) > width) cut = cut.slice(0, -1)
    return `${cut}...`
  }
  const heads = (): void => {
    write('Team', TEAM, bold)
    write('Model', MODEL, bold)
    for (const [i, head] of ['Calls', 'Input', 'Output', 'USD'].entries()) right(head, RIGHT[i] as number, bold)
    next()
  }
  const line = ({ team, model, calls, inputTokens, outputTokens, chargeUsd }: Line): void => {
    write(fitting(team ?? '-', WIDEST_TEXT.team), TEAM)
    write(fitting(model, WIDEST_TEXT.model), MODEL)
    for (const [i, n] of [calls, inputTokens, outputTokens, chargeUsd].entries()) right(String(n), RIGHT[i] as number)
    next()
  }

  for (const text of content.issuer) {
    write(text, MARGIN)
    next()
  }
  next()
  for (const text of content.billTo) {
    write(text, MARGIN)
    next()
  }
  next(2)
  write(content.number === null ? 'Draft, no statement yet' : `Statement ${content.number}`, MARGIN, bold, 16)
  next(2)
  write(`Account ${content.account}, ${content.month}`, MARGIN)
  next()
  write(`${content.from} to ${content.to}; amounts are in US dollars`, MARGIN)
  next(2)
  heads()
  for (const one of content.lines) line(one)
  if (content.corrections.length > 0) {
    next()
    write('Booked to earlier months after their statement', MARGIN, bold)
    next()
    for (const one of content.corrections) line(one)
  }
  next()
  write('Total USD', MODEL, bold)
  right(content.totalUsd, RIGHT[3], bold)
  if (content.total) {
    const { currency, amount, perUsd, since } = content.total
    next()
    write(`Total ${currency}`, MODEL, bold)
    right(amount, RIGHT[3], bold)
    next()
    write(`at ${perUsd} ${currency} for a dollar, the rate since ${since}`, MODEL)
  }
  return pdf.save({ addDefaultPage: false })
}
