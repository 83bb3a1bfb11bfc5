// wavetank serve simultaneous --expect failed=0 -- go test ./...
package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func post(url, item string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest("POST", url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	request.Header.Set("content-type", "application/json")
	request.Header.Set("authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
	request.Header.Set("x-wavetank-item", item)
	return http.DefaultClient.Do(request)
}

func ledger(t *testing.T, event, item, value string) {
	t.Helper()
	entry := map[string]string{"event": event, "item": item, "value": value}
	answer, err := post(os.Getenv("WAVETANK_URL")+"/_wavetank/items", item, entry)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal("not entered in the ledger:", answer, err)
	}
	answer.Body.Close()
}

// The code under test: it waits as long as it is asked to.
func ask(item, prompt string) (string, error) {
	messages := []map[string]string{{"role": "user", "content": prompt}}
	for {
		body := map[string]any{"model": "gpt-4o", "messages": messages}
		answer, err := post(os.Getenv("OPENAI_BASE_URL")+"/chat/completions", item, body)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode == 200 {
			return string(text), err
		}
		seconds, err := strconv.ParseFloat(answer.Header.Get("retry-after"), 64)
		if err != nil {
			seconds = 1
		}
		time.Sleep(time.Duration(seconds * float64(time.Second)))
	}
}

func TestEveryRowGetsItsOwnAnswer(t *testing.T) {
	var group sync.WaitGroup
	for n := 0; n < 8; n++ {
		item := fmt.Sprintf("row-%d", n)
		ledger(t, "submitted", item, "")
		group.Add(1)
		go func() {
			defer group.Done()
			value, err := ask(item, "Do "+item+".")
			if err != nil || !strings.Contains(value, item) {
				t.Error(item, value, err)
				return
			}
			ledger(t, "completed", item, value)
		}()
	}
	group.Wait()
}
