// wavetank serve simultaneous --expect failed=0 -- node --test
import assert from "node:assert";
import test from "node:test";

const post = (url, body, headers = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
const ledger = (entry) => post(`${process.env.WAVETANK_URL}/_wavetank/items`, entry);

// The code under test: it waits as long as it is asked to.
async function ask(item, prompt) {
  for (;;) {
    const answer = await post(
      `${process.env.OPENAI_BASE_URL}/chat/completions`,
      { model: "gpt-4o", messages: [{ role: "user", content: prompt }] },
      { authorization: `Bearer ${process.env.OPENAI_API_KEY}`, "x-wavetank-item": item },
    );
    if (answer.ok) return (await answer.json()).choices[0].message.content;
    await answer.body?.cancel();
    const wait = Number(answer.headers.get("retry-after") ?? 1);
    await new Promise((done) => setTimeout(done, wait * 1000));
  }
}

test("every row gets its own answer", async () => {
  const rows = Array.from({ length: 8 }, (_, n) => `row-${n}`);
  await ledger(rows.map((item) => ({ event: "submitted", item })));
  await Promise.all(
    rows.map(async (item) => {
      const value = await ask(item, `Do ${item}.`);
      assert.match(value, new RegExp(item));
      await ledger({ event: "completed", item, value });
    }),
  );
});
