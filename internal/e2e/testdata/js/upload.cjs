// Uploads one file with one version of tus-js-client and says how it ended.
//
//   node upload.cjs '{"client": "tus-js-client-4", "file": "...", "options": {...}}'
//
// "options" goes to the client as it is. "stream": true hides the file behind a
// plain stream, whose length nobody knows. "pauseAt": n pauses once n bytes
// were sent, and goes on at once. Standard output gets the upload's URL.

const fs = require('fs')
const { PassThrough } = require('stream')

const job = JSON.parse(process.argv[2])
const { Upload } = require(job.client)

// Every failure is tried again soon: what is tested is where the client goes
// on, not how long it waits.
const patience = [10, 20, 50, ...Array(100).fill(100)]

function open(file) {
  if (job.stream) return fs.createReadStream(file).pipe(new PassThrough())
  // 1.x does not find out the size of today's file streams.
  return job.client === 'tus-js-client-1' ? fs.readFileSync(file) : fs.createReadStream(file)
}

let paused = false
function pauseOnce(upload, sent) {
  if (paused || !job.pauseAt || sent < job.pauseAt) return
  paused = true
  Promise.resolve(upload.abort()).then(() => upload.start())
}

const upload = new Upload(open(job.file), {
  retryDelays: patience,
  ...(job.client === 'tus-js-client-1' ? { resume: false } : {}), // 1.x remembers uploads only in browsers
  ...job.options,
  onProgress: (sent) => pauseOnce(upload, sent),
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess: () => {
    console.log(upload.url)
    process.exit(0)
  },
})
upload.start()
