// Uploads one file with one version of tus-js-client and says how it ended.
//
//   node upload.cjs '{"client": "tus-js-client-4", "file": "...", "options": {...}}'
//
// "options" goes to the client as it is. "stream": true hides the file behind a
// plain stream, whose length nobody knows, and "buffer": true reads it first. A
// line on standard input pauses the upload, which is answered with the line
// "paused", and goes on at once. The last line on standard output is the
// upload's URL.

const fs = require('fs')
const { PassThrough } = require('stream')

const job = JSON.parse(process.argv[2])
const { Upload } = require(job.client)

// Every failure is tried again soon: what is tested is where the client goes
// on, not how long it waits.
const patience = [10, 20, 50, ...Array(100).fill(100)]

function open(file) {
  if (job.stream) return fs.createReadStream(file).pipe(new PassThrough())
  // 1.x and 2.x do not find out the size of today's file streams.
  const buffer = job.buffer || ['tus-js-client-1', 'tus-js-client-2'].includes(job.client)
  return buffer ? fs.readFileSync(file) : fs.createReadStream(file)
}

// An answer that comes while 1.x still sends, and the reset of the connection
// behind it, are two errors to 1.x, after each of which it goes on. While it
// waits to do so, it hands over every further error as if it had given up. Only
// a lost connection can be a further error, and those it always tries again.
function isEcho(error) {
  return job.client === 'tus-js-client-1' && error.causingError
}

const upload = new Upload(open(job.file), {
  retryDelays: patience,
  ...(job.client === 'tus-js-client-1' ? { resume: false } : {}), // 1.x remembers uploads only in browsers
  ...job.options,
  onError: (error) => {
    if (isEcho(error)) return
    console.error(String(error))
    process.exit(1)
  },
  onSuccess: () => {
    console.log(upload.url)
    process.exit(0)
  },
})

process.stdin.on('data', async () => {
  await upload.abort()
  console.log('paused')
  upload.start()
})
upload.start()
