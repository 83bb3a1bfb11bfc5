# wavetank serve simultaneous --expect failed=0 -- sh batch.sh
ledger=$WAVETANK_URL/_wavetank/items
chat=$OPENAI_BASE_URL/chat/completions
body='{"model": "gpt-4o", "messages": [{"role": "user", "content": "Do it."}]}'
for item in row-1 row-2 row-3; do
  curl -s -o /dev/null "$ledger" -d "{\"event\": \"submitted\", \"item\": \"$item\"}"
  # curl waits for Retry-After by itself.
  curl -sf -o /dev/null --retry 5 "$chat" -d "$body" \
    -H "x-wavetank-item: $item" -H "authorization: Bearer $OPENAI_API_KEY" && end=completed || end=failed
  curl -s -o /dev/null "$ledger" -d "{\"event\": \"$end\", \"item\": \"$item\"}"
done
